// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/filler.h"

#include <cerrno>

#include <linux/ioprio.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/imagefs/file_content.h"

namespace coldstart {

using namespace std::chrono_literals;

namespace {

constexpr auto quiet = 100ms;          // without a reader that waits: then it is our turn
constexpr auto longest_wait = 2s;      // between two files, if readers never rest
constexpr auto between_chunks = 20ms;  // then
constexpr auto pause_when_full = 60s;  // until it is tried again to cache something
constexpr auto harden_delay = 5s;      // of rest, before what was cached is flushed
constexpr uint64_t at_once = 1 << 20;  // files up to this size are cached in one step

/// Of the calling thread, for processor and disk. Where it is not allowed, it is not needed for being right.
void take_lowest_priority() {
  const sched_param parameters{};
  if (::sched_setscheduler(0, SCHED_IDLE, &parameters) != 0) log::debug("cannot lower the filler's priority");
  if (::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)) != 0)
    log::debug("cannot lower the filler's disk priority");
}

Error full() {
  return Error::sys(ENOSPC, "there is no room in the disk cache");
}

}  // namespace

Filler::Filler(const ImageReader& image, Store& store, FileCache& cache, ChunkCache& chunks,
               const ReaderActivity& readers, ImageMetrics& metrics, Prefetch prefetch)
    : image_(image),
      store_(store),
      cache_(cache),
      chunks_(chunks),
      readers_(readers),
      metrics_(metrics),
      prefetch_(prefetch),
      queued_(size_t{image.inode_count()} + 1) {
  if (prefetch_ != Prefetch::none) thread_ = std::thread([this] { work(); });
}

Filler::~Filler() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Filler::want(uint32_t inode) {
  if (prefetch_ == Prefetch::none) return;
  const InodeRecord& file = image_.inode(inode);
  if (!S_ISREG(file.mode) || file.size == 0) return;
  {
    const std::lock_guard lock(mutex_);
    if (queued_[inode]) return;
    queued_[inode] = true;
    queue_.push_back(inode);
    if (queue_.size() > 1) return;
  }
  wake_.notify_all();
}

/// Waits for a file to fill. False: it is time to end.
bool Filler::next(uint32_t& inode) {
  std::unique_lock lock(mutex_);
  const auto first_try = Clock::now();
  while (!stop_) {
    const auto now = Clock::now();
    const auto rest_from = readers_.last() + quiet;
    const auto resume = std::max(pause_until_, std::min(rest_from, first_try + longest_wait));
    const bool more = !queue_.empty() || (prefetch_ == Prefetch::all && next_of_all_ <= image_.inode_count());
    if (more && now < resume) {
      wake_.wait_until(lock, resume);
    } else if (!queue_.empty()) {
      inode = queue_.front();
      queue_.pop_front();
      queued_[inode] = false;
      return true;
    } else if (more && cache_.bytes() > cache_.limit() / 8 * 7) {
      next_of_all_ = image_.inode_count() + 1;  // what was opened must not go to make room for what was not
    } else if (more) {
      inode = next_of_all_++;
      if (S_ISREG(image_.inode(inode).mode) && image_.inode(inode).size > 0) return true;
    } else if (to_harden_) {
      if (wake_.wait_for(lock, harden_delay) == std::cv_status::no_timeout) continue;
      to_harden_ = false;
      lock.unlock();
      cache_.harden();
      lock.lock();
    } else {
      wake_.wait(lock);
    }
  }
  return false;
}

void Filler::work() {
  take_lowest_priority();
  uint32_t inode = 0;
  while (next(inode)) fill_logged(inode);
}

void Filler::fill_logged(uint32_t inode) noexcept {
  bool pause = false;
  try {
    const bool done = fill(inode);
    const std::lock_guard lock(mutex_);
    to_harden_ = to_harden_ || done;
    return;
  } catch (const Error& e) {
    // A reader will get a right answer, or this same error.
    log::warn("cannot cache file {} of the image: {}", inode, e.what());
    pause = e.error_number() == ENOSPC || e.error_number() == EDQUOT || e.error_number() == EROFS;
  } catch (const std::exception& e) {
    log::warn("cannot cache file {} of the image: {}", inode, e.what());
  }
  if (!pause) return;
  const std::lock_guard lock(mutex_);
  pause_until_ = Clock::now() + pause_when_full;
}

bool Filler::fill(uint32_t inode) {
  const InodeRecord& file = image_.inode(inode);
  const Digest content = content_name(image_, file);
  if (cache_.find(content, file.size)) return true;
  const uint64_t bytes = content_disk_bytes(image_, file);
  if (bytes > cache_.limit() / 2) return false;  // it would push out everything else
  const bool done = bytes <= at_once ? fill_at_once(file, content) : fill_by_chunk(file, content);
  if (done) {
    metrics_.cached_files.fetch_add(1, std::memory_order_relaxed);
    metrics_.cached_bytes.fetch_add(bytes, std::memory_order_relaxed);
  }
  return done;
}

Chunk Filler::bytes_of(const ChunkRecord& chunk) {
  const Digest digest = ImageReader::digest(chunk);
  if (Chunk known = chunks_.peek(digest)) return known;
  auto bytes = std::make_shared<Bytes>(store_.read(digest));
  if (bytes->size() != chunk.length)
    throw Error::corrupt("the chunk " + digest.text() + " is not as long as the image says");
  return bytes;
}

bool Filler::fill_at_once(const InodeRecord& file, const Digest& content) {
  if (!cache_.reserve(content_disk_bytes(image_, file))) throw full();
  std::vector<Chunk> chunks;
  std::vector<FileCache::Piece> pieces;
  for (const ExtentRecord& extent : image_.extents(file)) {
    chunks.push_back(bytes_of(image_.chunks()[extent.chunk]));
    pieces.push_back({extent.offset, *chunks.back()});
  }
  cache_.put(content, file.size, pieces);
  return true;
}

/// Lets readers that wait for chunks go first, for a moment. False: it is time to end.
bool Filler::rest() {
  std::unique_lock lock(mutex_);
  const auto rest_from = readers_.last() + quiet;
  if (Clock::now() < rest_from) wake_.wait_for(lock, between_chunks, [&] { return stop_.load(); });
  return !stop_;
}

bool Filler::fill_by_chunk(const InodeRecord& file, const Digest& content) {
  const auto extents = image_.extents(file);
  const auto partial = cache_.partial(content, file.size, extents.size(), true);
  if (!partial->lock()) return false;
  for (size_t i = 0; i < extents.size(); ++i) {
    if (!rest()) return false;
    if (partial->has(i)) continue;
    const ChunkRecord& record = image_.chunks()[extents[i].chunk];
    if (!cache_.reserve((record.length + 4095) / 4096 * 4096)) throw full();
    const Chunk chunk = bytes_of(record);
    partial->write(i, extents[i].offset, *chunk);
  }
  cache_.seal(content, *partial);
  return true;
}

}  // namespace coldstart
