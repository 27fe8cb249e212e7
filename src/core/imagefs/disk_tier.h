// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads from the local disk cache: what is served by us although it is cached, because it is not complete
// yet, was opened before it was, or cannot be passed through here.

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/image/reader.h"
#include "core/imagefs/file_cache.h"

namespace coldstart {

/// Thread-safe. `image` and `cache` must outlive it.
class DiskTier {
 public:
  DiskTier(const ImageReader& image, FileCache& cache) : image_(image), cache_(cache) {}

  /// The cached file of an inode, whole or in part, open.
  class File {
   public:
    /// Fills `into` from the file's extent `index`, `skip` bytes into it. False if it is not there.
    bool read(size_t index, uint64_t skip, MutableByteSpan into) const;
    bool complete() const { return static_cast<bool>(complete_); }
    /// It is worth to find() it anew: it was incomplete, and others have changed it. Most likely it is
    /// complete now.
    bool outdated() const { return outdated_.load(std::memory_order_relaxed); }

   private:
    friend class DiskTier;
    bool read_complete(const ExtentRecord& extent, uint64_t skip, MutableByteSpan into) const;
    bool read_partial(size_t index, uint64_t skip, MutableByteSpan into) const;

    const ImageReader* image_;
    std::span<const ExtentRecord> extents_;
    Fd complete_;
    std::unique_ptr<PartialFile> partial_;
    mutable std::atomic<bool> outdated_ = false;
  };

  /// Null if nothing of it is cached.
  std::shared_ptr<const File> find(uint32_t inode);
  /// Has it looked for anew: there is more of it now, or it is wrong.
  void forget(uint32_t inode);

 private:
  static constexpr size_t most_open = 256;
  std::shared_ptr<const File> open(uint32_t inode);

  const ImageReader& image_;
  FileCache& cache_;
  struct Known {
    uint32_t inode;
    std::shared_ptr<const File> file;
  };
  std::mutex mutex_;        // guards all below
  std::list<Known> known_;  // most recently used first
  std::unordered_map<uint32_t, std::list<Known>::iterator> index_;
};

}  // namespace coldstart
