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
#include <map>
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
  /// `first` is done before any file, with the same priority.
  Filler(const ImageReader& image, Store& store, FileCache& cache, ChunkCache& chunks,
         const ReaderActivity& readers, ImageMetrics& metrics, Prefetch prefetch,
         std::function<void()> first = {});
  Filler(const Filler&) = delete;
  Filler& operator=(const Filler&) = delete;
  /// Leaves what it is at within a chunk.
  ~Filler();

  /// A file was opened, or read, that is not complete in the cache. Cheap.
  void want(uint32_t inode);
  /// Brings these extents of a file into the cache now, on the calling thread, from wherever they are; of a
  /// small file also what is near. Throws Error.
  void fill_now(uint32_t inode, uint32_t first, uint32_t count);

 private:
  using Clock = ReaderActivity::Clock;

  /// A large file on its way, locked for this process; shared by the threads that fill it.
  struct Large {
    Digest content;
    std::unique_ptr<PartialFile> partial;
    std::mutex mutex;  // for write() and what follows it
    bool sealed = false;
  };
  /// What is to be filled, and from where.
  struct Job {
    uint32_t inode;
    bool from_afar;  ///< what no pack here has is fetched; else it is left out
  };

  void work();
  bool next(Job& job);
  void fill_logged(const Job& job) noexcept;
  bool fill(const Job& job);
  bool fill_at_once(const Job& job, const Digest& content);
  bool fill_by_chunk(const Job& job, const Digest& content, uint32_t first, uint32_t count, bool patient);
  bool add_chunks(Large& large, const InodeRecord& file, size_t first, std::span<const Chunk> chunks);
  std::shared_ptr<Large> large(uint32_t inode, const Digest& content);
  Chunk bytes_of(const ChunkRecord& chunk, bool from_afar);
  bool rest();

  const ImageReader& image_;
  Store& store_;
  FileCache& cache_;
  ChunkCache& chunks_;
  const ReaderActivity& readers_;
  ImageMetrics& metrics_;
  const Prefetch prefetch_;
  const std::function<void()> first_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;  // guards all below
  std::condition_variable wake_;
  std::deque<uint32_t> queue_;
  std::vector<bool> queued_;  // by inode
  uint32_t next_of_all_ = root_inode;
  std::map<uint32_t, std::weak_ptr<Large>> large_;  // by inode
  bool to_harden_ = false;
  Clock::time_point pause_until_{};  // the disk is full
  std::thread thread_;               // last: it uses all above
};

}  // namespace coldstart
