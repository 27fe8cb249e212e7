// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a tree comes from. One interface; dir_source.cpp and tar_source.cpp implement it.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "core/base/bytes.h"
#include "core/base/cancel.h"

namespace coldstart {

/// A run of a file's bytes that is no hole.
struct DataRange {
  uint64_t offset;
  uint64_t length;
};

struct SourceEntry {
  std::string path;  ///< relative to the root, no leading or trailing '/', "" is the root itself; any bytes
  struct stat stat {};  ///< mode, uid, gid, size, mtime, rdev
  std::string target;   ///< of a symlink, or the path of the entry that a hard link goes to
  bool hard_link = false;
  std::vector<std::pair<std::string, std::string>> xattrs;
  std::vector<DataRange> ranges;  ///< of a regular file: its data, sorted
};

/// One pass over a tree. Not thread-safe.
class TreeSource {
 public:
  virtual ~TreeSource() = default;
  /// For error messages: "the folder /srv/root", "the tar on stdin".
  virtual std::string describe() const = 0;
  /// File bytes in all if known beforehand (for progress), else 0.
  virtual uint64_t total_bytes() { return 0; }
  /// Calls `each` for every entry, parents before what is in them, hard links after what they go to. For a
  /// regular file, `each` may call `read` to get its ranges in order: `read` fills as much of the span as
  /// the current range has left and gives the count, 0 at the end of all ranges.
  using Read = std::function<size_t(MutableByteSpan)>;
  virtual void walk(const std::function<void(SourceEntry&, const Read&)>& each,
                    const CancelToken& cancel) = 0;
};

/// A folder as it is. Not crossing into other file systems is not wanted: mounts below it are included,
/// but /proc-like ones are refused by name.
std::unique_ptr<TreeSource> open_dir_source(const std::filesystem::path& folder);
/// A tar, plain or compressed with gzip, zstd or xz; found out by its content. `fd` stays the caller's.
std::unique_ptr<TreeSource> open_tar_source(int fd, std::string shown_as);

}  // namespace coldstart
