// SPDX-License-Identifier: Apache-2.0
#pragma once
// The command line described to programs: what man pages and completions are compared with.

#include <CLI/CLI.hpp>

#include "core/base/json.h"

namespace coldstart {

/// {name, description, arguments[], options[], commands[]}, without what is hidden. The global options are
/// the root's.
OrderedJson describe(const CLI::App& app);

}  // namespace coldstart
