// SPDX-License-Identifier: Apache-2.0
#pragma once
// Fills the local disk cache behind the readers' backs.
//
// A file that was opened and is not cached gets in line. One thread of the lowest priority, for processor and
// disk, takes the files in that order, reads their chunks and writes them to the cache; the next open of the
// file is passed through. It keeps still while readers wait for chunks (for a while: a mount that is always
// busy gets its cache too), so a start is not slowed by what is done for the next one. Once nothing is left
// to do, what was cached is flushed to the disk.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "core/image/reader.h"
#include "core/imagefs/chunk_cache.h"
#include "core/imagefs/file_cache.h"
#include "core/imagefs/metrics.h"
#include "core/imagefs/prefetch.h"
#include "core/store/store.h"

namespace coldstart {

/// When a reader last waited for a chunk.
class ReaderActivity {
 public:
  using Clock = std::chrono::steady_clock;
  void note() { last_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed); }
  Clock::time_point last() const { return Clock::time_point(Clock::duration(last_.load())); }

 private:
  std::atomic<Clock::rep> last_{0};
};

/// Thread-safe. All that it is given must outlive it.
class Filler {
 public:
  Filler(const ImageReader& image, Store& store, FileCache& cache, ChunkCache& chunks,
         const ReaderActivity& readers, ImageMetrics& metrics, Prefetch prefetch);
  Filler(const Filler&) = delete;
  Filler& operator=(const Filler&) = delete;
  /// Leaves what it is at within a chunk.
  ~Filler();

  /// A file was opened, or read, that is not complete in the cache. Cheap.
  void want(uint32_t inode);
  /// Fills one file now, on the calling thread. False if it could not be, for now. Throws Error.
  bool fill(uint32_t inode);

 private:
  using Clock = ReaderActivity::Clock;

  void work();
  bool next(uint32_t& inode);
  void fill_logged(uint32_t inode) noexcept;
  bool fill_at_once(const InodeRecord& file, const Digest& content);
  bool fill_by_chunk(const InodeRecord& file, const Digest& content);
  Chunk bytes_of(const ChunkRecord& chunk);
  bool rest();

  const ImageReader& image_;
  Store& store_;
  FileCache& cache_;
  ChunkCache& chunks_;
  const ReaderActivity& readers_;
  ImageMetrics& metrics_;
  const Prefetch prefetch_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;  // guards all below
  std::condition_variable wake_;
  std::deque<uint32_t> queue_;
  std::vector<bool> queued_;  // by inode
  uint32_t next_of_all_ = root_inode;
  bool to_harden_ = false;
  Clock::time_point pause_until_{};  // the disk is full
  std::thread thread_;               // last: it uses all above
};

}  // namespace coldstart
