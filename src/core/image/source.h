// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a tree comes from. One interface; dir_source.cpp, tar_source.cpp and layered_source.cpp implement it.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "core/base/cancel.h"
#include "core/image/archive_reader.h"
#include "core/image/image_config.h"
#include "core/image/oci_documents.h"

namespace coldstart {

/// A run of a file's bytes that is no hole.
struct DataRange {
  uint64_t offset;
  uint64_t length;
};

/// What an entry of a layer takes away from the layers below it.
enum class Removes : uint8_t { nothing, path, contents };

struct SourceEntry {
  std::string path;  ///< relative to the root, no leading or trailing '/', "" is the root itself; any bytes
  struct stat stat {};  ///< mode, uid, gid, size, mtime, rdev; of a hard link: nothing
  std::string target;   ///< of a symlink, or the path of the entry that a hard link goes to
  bool hard_link = false;
  std::vector<std::pair<std::string, std::string>> xattrs;
  std::vector<DataRange> ranges;  ///< of a regular file: its data, sorted
  /// 0: the source has no layers. In layers, counted from 1, a path may lead through symlinks that are in the
  /// tree by then, and what is not removed stays.
  uint32_t layer = 0;
  Removes removes = Removes::nothing;  ///< with it, only `path` and `layer` mean anything
};

/// One pass over a tree. Not thread-safe.
class TreeSource {
 public:
  virtual ~TreeSource() = default;
  /// For error messages: "the folder /srv/root", "the tar on stdin".
  virtual std::string describe() const = 0;
  /// File bytes in all if known beforehand (for progress), else 0.
  virtual uint64_t total_bytes() { return 0; }
  /// How its programs want to be started, if it says so.
  virtual ImageConfig config() const { return {}; }
  /// Calls `each` for every entry, hard links after what they go to. Folders come before what is in them, or
  /// not at all (some tars leave them out); a path that comes again takes the place of the first. For a
  /// regular file, `each` may call `read` to get its ranges in order: `read` fills as much of the span as
  /// the current range has left (a part of it at least) and gives the count, 0 at the end of all ranges.
  using Read = std::function<size_t(MutableByteSpan)>;
  virtual void walk(const std::function<void(SourceEntry&, const Read&)>& each,
                    const CancelToken& cancel) = 0;
};

/// A folder as it is. Mounts below it are included, but /proc-like ones are refused by name. A file that
/// changes while it is read is an error that names it.
std::unique_ptr<TreeSource> open_dir_source(const std::filesystem::path& folder);
/// A tar, plain or compressed with gzip, zstd or xz; found out by its content. `fd` stays the caller's.
/// Names stay below the root: a leading '/' is dropped, ".." is refused.
std::unique_ptr<TreeSource> open_tar_source(int fd, const std::string& shown_as);
/// The same from any input; `shown_as` is all of its name ("the layer sha256:…").
std::unique_ptr<TreeSource> open_tar_source(ByteInput input, std::string shown_as);

/// One image of an OCI layout (a folder as skopeo and buildah write it) or of a file that `docker save` made;
/// `reference` empty: the only one there. Of an image for several platforms, the one for `platform`. Layers
/// may be compressed with gzip, zstd or xz. Everything is checked against its digest: what is wrong is an
/// Error::corrupt, at the latest by the end of walk().
std::unique_ptr<TreeSource> open_oci_source(const std::filesystem::path& folder, const std::string& reference,
                                            const OciPlatform& platform);
std::unique_ptr<TreeSource> open_docker_archive(const std::filesystem::path& file,
                                                const std::string& reference, const OciPlatform& platform,
                                                const CancelToken& cancel);

}  // namespace coldstart
