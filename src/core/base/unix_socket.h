// SPDX-License-Identifier: Apache-2.0
#pragma once
// Unix sockets by the name of a file, however long its path is: the address of a socket has room for only 107
// bytes, so its folder is named by a descriptor.

#include <filesystem>
#include <optional>

#include "core/base/fd.h"

namespace coldstart {

/// Listens there; a file that is there already is replaced. `type` as for socket(2). Throws Error.
Fd listen_on(const std::filesystem::path& file, int type, int backlog = 64);
/// None if nobody listens there. Throws Error.
std::optional<Fd> connect_to(const std::filesystem::path& file, int type);

}  // namespace coldstart
