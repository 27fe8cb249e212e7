// SPDX-License-Identifier: Apache-2.0
#pragma once
// The local disk cache: the content of files, uncompressed, one sparse file each, shared by all images and
// all server processes of a store.
//
//   STORE/cache/files/XX/HEX     complete; HEX is the content's name (file_content.h), XX its first digits
//   STORE/cache/partial/HEX      on its way, with
//   STORE/cache/partial/HEX.map  which of its chunks are there (partial_file.h)
//
// When a cached file may be believed. Passthrough hands its pages to readers as they are, so nothing can be
// checked when it is read. Instead only verified bytes are written, and the complete file is *sealed*: its
// modification time is set to one that no clock gives. Whoever writes to it afterwards, or truncates it,
// changes that time by doing so, and the file is dropped at the next open. There are two seals. One names the
// running boot of the kernel: what was written without being flushed is whole as long as the machine stays
// up, and forgotten after a crash of it. The other is for good: harden() sets it after all was flushed. So no
// reader waits for a disk, and no crash leaves wrong bytes.
//
// Room. The cache keeps within its limit, and leaves a twentieth of the file system free: before it would
// grow beyond, what was opened longest ago goes, until an eighth is free again. What is in use is pinned by a
// lock on the open file, which the kernel holds for as long as something reads through it. If the folder is
// deleted under us, or the disk is full, readers notice nothing: they are served from memory.

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <vector>

#include "core/base/fd.h"
#include "core/imagefs/partial_file.h"
#include "core/store/digest.h"

namespace coldstart {

/// Thread-safe; any number of processes may use one cache.
class FileCache {
 public:
  /// The modification time of a sealed file is not later, that of any other is.
  static constexpr time_t last_seal_second = 2 + (time_t{1} << 30);

  /// `limit_bytes` of disk space; 0: a quarter of the file system.
  FileCache(const std::filesystem::path& store_root, uint64_t limit_bytes);

  /// A complete file, to be read or passed through; pinned until the last duplicate of the descriptor is
  /// closed. None if it is not there, or was touched (then it is dropped). Counts as a use of it.
  Fd find(const Digest& content, uint64_t size);

  /// Makes room for `bytes` more. False if there is none to be had.
  bool reserve(uint64_t bytes);

  /// The chunks of `content` that are there so far; null if there are none and it is not to be made. Throws
  /// Error.
  std::unique_ptr<PartialFile> partial(const Digest& content, uint64_t size, size_t chunks, bool make);
  /// Seals a complete partial file, which its caller has locked. Throws Error.
  void seal(const Digest& content, PartialFile& partial);

  /// Keeps a whole file at once, from pieces of it with their offsets. Throws Error.
  struct Piece {
    uint64_t offset;
    ByteSpan bytes;
  };
  void put(const Digest& content, uint64_t size, std::span<const Piece> pieces);

  /// Flushes what was sealed since the last call, so that it outlives a crash of the machine. Slow.
  void harden();

  /// A file without a name where the cached ones lie: to try what can be done with them. Throws Error.
  Fd sample() const;
  const std::filesystem::path& root() const { return root_; }
  /// As of the last look at the folder, and what was added since.
  uint64_t bytes() const;
  uint64_t limit() const { return limit_; }

 private:
  std::filesystem::path complete(const Digest& content) const;
  std::filesystem::path unfinished(const Digest& content) const;
  void make_tree() const;
  void publish(int file, const std::filesystem::path& from, const Digest& content);
  void sweep_locked(uint64_t needed);

  const std::filesystem::path root_;
  uint64_t limit_;
  timespec boot_seal_;
  mutable std::mutex mutex_;      // guards all below
  bool counted_ = false;          // the folder was looked at
  uint64_t bytes_ = 0;            // then, and added since
  uint64_t added_ = 0;            // since then
  std::vector<Digest> unstable_;  // sealed for this boot only
};

}  // namespace coldstart
