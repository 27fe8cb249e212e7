// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which parts of files a restore is going to read.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace coldstart {

/// Bytes of a file: whole pages of 4 KiB, perhaps past its end.
struct FileRange {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  bool operator==(const FileRange&) const = default;
};

/// A file that processes of the images map.
struct MappedFile {
  std::string path;               ///< inside
  std::vector<FileRange> wanted;  ///< in order, disjoint; may be empty
  bool operator==(const MappedFile&) const = default;
};

/// What CRIU reads: where a process had changed pages of a private mapping (relocated tables of libraries,
/// above all), the kernel first brings the file's page, and CRIU then writes over it. Of all processes in a
/// folder of images: each file once, in the order in which CRIU opens them. Throws Error::corrupt.
std::vector<MappedFile> mapped_files(const std::filesystem::path& images);

/// What running processes have in their memory of the files that they map, with the little that lies between:
/// they have used it, and will again. Each file once, by its path as they see it. A process that is gone has
/// none.
std::vector<MappedFile> files_in_memory(const std::vector<pid_t>& pids);

/// Takes out of the memory of running processes what they map of files: so that files_in_memory() tells later
/// what they have used since. Pages that they have changed stay, or go to the host's swap. They notice
/// nothing but that it takes a moment to come back.
void forget_files(const std::vector<pid_t>& pids);

}  // namespace coldstart
