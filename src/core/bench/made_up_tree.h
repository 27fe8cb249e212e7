// SPDX-License-Identifier: Apache-2.0
#pragma once
// A tree to measure with when the user has none at hand: the same for the same size, on every machine.

#include <cstdint>
#include <filesystem>

#include "core/base/cancel.h"

namespace coldstart {

/// About `bytes` in `folder`: a third in small files (like sources), the rest in a few large ones (like
/// libraries and weights); about half of it compresses.
void make_up_tree(const std::filesystem::path& folder, uint64_t bytes, const CancelToken& cancel);

}  // namespace coldstart
