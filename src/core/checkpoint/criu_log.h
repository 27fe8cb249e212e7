// SPDX-License-Identifier: Apache-2.0
#pragma once
// What CRIU's log says went wrong, in one sentence.

#include <string>
#include <string_view>

#include "core/base/error.h"

namespace coldstart {

/// Finds the line that tells: the first "Error" of a kind that is known to be a cause, else the first one
/// that is neither a consequence nor said on every start. The error has it without CRIU's decoration, a hint
/// where one is known, and the exit status of its kind. `doing`: "cannot snapshot …".
Error criu_error(std::string_view doing, std::string_view log);

}  // namespace coldstart
