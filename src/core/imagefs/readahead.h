// SPDX-License-Identifier: Apache-2.0
#pragma once
// How much the kernel reads at once from a mount.

#include <filesystem>

namespace coldstart {

/// The kernel reads 128 KiB ahead unless told otherwise, and as much around a page fault. Sets it for the
/// mount at `folder`, which must be served. Needs root and a writable /sys; without, reads are slower and
/// right.
void set_readahead(const std::filesystem::path& folder, unsigned kib);

}  // namespace coldstart
