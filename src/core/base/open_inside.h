// SPDX-License-Identifier: Apache-2.0
#pragma once
// Opening files below a root that is not ours.

#include <cstdint>
#include <string>

#include "core/base/fd.h"

namespace coldstart {

/// Opens `path` as if the folder `root` were "/": links lead nowhere else. `flags` as of open(2). None, with
/// errno set, if it cannot be opened.
Fd open_inside(int root, const std::string& path, uint64_t flags);

}  // namespace coldstart
