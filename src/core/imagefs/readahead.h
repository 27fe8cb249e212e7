// SPDX-License-Identifier: Apache-2.0
#pragma once
// How much the kernel reads at once from a mount.

#include <filesystem>

namespace coldstart {

/// The kernel reads 128 KiB ahead unless told otherwise, and a file system can only ask for less. Large files
/// are cut into larger chunks than that: from now on it is 1 MiB in this mount, which must be served. Needs
/// root and a writable /sys; without, reads are slower and right.
void raise_readahead(const std::filesystem::path& folder);

}  // namespace coldstart
