// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a restore reads of a snapshot as plain files, kept between restores: the folder of CRIU's files, and
// its memory's content as one file that can be mapped.
//
// STORE/cache/criu/HEX/files is the tree with digest HEX, or the folder with the memory of name HEX. It is
// verified while it is unpacked; afterwards a
// stamp (inode, size, and the times that the kernel keeps) tells whether anyone has touched it, and then it
// is unpacked again. Who uses an entry holds its lock shared; what nobody uses is dropped, least recently
// used first, when the cache outgrows its limit.

#include <filesystem>
#include <optional>

#include "core/base/files.h"
#include "core/store/store.h"

namespace coldstart {

/// The file in a folder of memory: StoredMap's content.
constexpr const char* memory_content_file = "memory";

/// A folder in use. Read-only by agreement: CRIU's logs and such belong into a work folder.
class ImagesFolder {
 public:
  ImagesFolder(std::filesystem::path path, FileLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  FileLock lock_;  // shared: it stays while we live
};

/// Thread-safe; several processes may use one cache.
class ImagesCache {
 public:
  /// `limit_bytes` of disk space in all, what is in use counted; 0: a tenth of the file system.
  explicit ImagesCache(const std::filesystem::path& store_root, uint64_t limit_bytes = 0);

  /// The tree as a folder; unpacked from the store if it is not there or was touched.
  ImagesFolder get(Store& store, const Digest& tree, Operation& op);
  /// What is there and untouched.
  std::optional<ImagesFolder> find(const Digest& tree) const;
  /// Takes a folder that has just been written and packed as `tree`, by renaming it: the next restore finds
  /// it there. It must be on the store's file system (Store::scratch()).
  void adopt(const std::filesystem::path& folder, const Digest& tree);
  /// Whether so much more would stay: within the limit, and the disk not full of it.
  bool has_room_for(uint64_t bytes) const;

 private:
  std::filesystem::path entry(const Digest& tree) const;
  void trim(const Digest& newest);
  std::filesystem::path root_;
  uint64_t limit_;
};

}  // namespace coldstart
