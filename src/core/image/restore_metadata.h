// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an inode says of a file, put onto the file: owner, mode, attributes, times, in the order in which
// none undoes another (a change of owner drops setuid bits and capabilities; writing changes times).

#include <string>

#include "core/base/error.h"
#include "core/image/reader.h"

namespace coldstart {

/// Onto an open file or folder. `path` is for messages. Throws Error naming the path (exit 6 if it is a
/// matter of permission).
void restore_metadata(int fd, const ImageReader& image, const InodeRecord& inode, const std::string& path);
/// Onto `name` in the folder `dir`: a symlink, a device, a fifo or a socket. Never follows a link.
void restore_metadata_at(int dir, const std::string& name, const ImageReader& image, const InodeRecord& inode,
                         const std::string& path);

/// The error for a system call on `path` that failed just now: with a hint if root could do it.
Error unpack_error(const std::string& doing, const std::string& path);

}  // namespace coldstart
