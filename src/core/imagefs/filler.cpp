// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/filler.h"

#include <cerrno>

#include <linux/ioprio.h>
#include <sys/resource.h>
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
// Of a larger one, if it is there: as much as the kernel maps at once.
constexpr uint64_t written_at_once = uint64_t{2} << 20;

/// Of the calling thread, for processor and disk. Where it is not allowed, it is not needed for being right.
void take_lowest_priority() {
  // Not SCHED_IDLE: on a busy machine a thread of that class may hold a lock for seconds.
  if (::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19) != 0)
    log::debug("cannot lower the filler's priority");
  if (::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)) != 0)
    log::debug("cannot lower the filler's disk priority");
}

Error full() {
  return Error::sys(ENOSPC, "there is no room in the disk cache");
}

}  // namespace

Filler::Filler(const ImageReader& image, Store& store, FileCache& cache, ChunkCache& chunks,
               const ReaderActivity& readers, ImageMetrics& metrics, Prefetch prefetch,
               std::function<void()> first)
    : image_(image),
      store_(store),
      cache_(cache),
      chunks_(chunks),
      readers_(readers),
      metrics_(metrics),
      prefetch_(prefetch),
      first_(std::move(first)),
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
bool Filler::next(Job& job) {
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
      job = {queue_.front(), prefetch_ == Prefetch::all};
      queue_.pop_front();
      queued_[job.inode] = false;
      return true;
    } else if (more && cache_.bytes() > cache_.limit() / 8 * 7) {
      next_of_all_ = image_.inode_count() + 1;  // what was opened must not go to make room for what was not
    } else if (more) {
      job = {next_of_all_++, true};
      const InodeRecord& file = image_.inode(job.inode);
      if (S_ISREG(file.mode) && file.size > 0) return true;
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
  try {
    if (first_) first_();
  } catch (const std::exception& e) {
    log::warn("{}", e.what());
  }
  Job job{};
  while (next(job)) fill_logged(job);
}

void Filler::fill_logged(const Job& job) noexcept {
  bool pause = false;
  try {
    const bool done = fill(job);
    const std::lock_guard lock(mutex_);
    to_harden_ = to_harden_ || done;
    return;
  } catch (const Error& e) {
    // A reader will get a right answer, or this same error.
    log::warn("cannot cache file {} of the image: {}", job.inode, e.what());
    pause = e.error_number() == ENOSPC || e.error_number() == EDQUOT || e.error_number() == EROFS;
  } catch (const std::exception& e) {
    log::warn("cannot cache file {} of the image: {}", job.inode, e.what());
  }
  if (!pause) return;
  const std::lock_guard lock(mutex_);
  pause_until_ = Clock::now() + pause_when_full;
}

bool Filler::fill(const Job& job) {
  const InodeRecord& file = image_.inode(job.inode);
  const Digest content = content_name(image_, file);
  if (cache_.find(content, file.size)) return false;
  const uint64_t bytes = content_disk_bytes(image_, file);
  if (bytes > cache_.limit() / 2) return false;  // it would push out everything else
  if (bytes <= at_once) return fill_at_once(job, content);
  return fill_by_chunk(job, content, 0, static_cast<uint32_t>(image_.extents(file).size()), true);
}

/// Null if it may not come from afar and is not near.
Chunk Filler::bytes_of(const ChunkRecord& chunk, bool from_afar) {
  const Digest digest = ImageReader::digest(chunk);
  if (Chunk known = chunks_.peek(digest)) return known;
  if (!from_afar && !store_.has_here(digest)) return nullptr;
  auto bytes = std::make_shared<Bytes>(store_.read(digest));
  if (bytes->size() != chunk.length)
    throw Error::corrupt("the chunk " + digest.text() + " is not as long as the image says");
  return bytes;
}

bool Filler::fill_at_once(const Job& job, const Digest& content) {
  const InodeRecord& file = image_.inode(job.inode);
  const uint64_t bytes = content_disk_bytes(image_, file);
  std::vector<Chunk> chunks;
  std::vector<FileCache::Piece> pieces;
  for (const ExtentRecord& extent : image_.extents(file)) {
    chunks.push_back(bytes_of(image_.chunks()[extent.chunk], job.from_afar));
    if (!chunks.back()) return false;
    pieces.push_back({extent.offset, *chunks.back()});
  }
  if (!cache_.reserve(bytes)) throw full();
  cache_.put(content, file.size, pieces);
  metrics_.cached_files.fetch_add(1, std::memory_order_relaxed);
  metrics_.cached_bytes.fetch_add(bytes, std::memory_order_relaxed);
  return true;
}

/// Null if another process is at it.
std::shared_ptr<Filler::Large> Filler::large(uint32_t inode, const Digest& content) {
  const InodeRecord& file = image_.inode(inode);
  const std::lock_guard lock(mutex_);
  if (auto known = large_[inode].lock(); known && !known->sealed) return known;
  auto fresh = std::make_shared<Large>();
  fresh->content = content;
  fresh->partial = cache_.partial(content, file.size, image_.extents(file).size(), true);
  if (!fresh->partial->lock()) return nullptr;
  large_[inode] = fresh;
  return fresh;
}

/// Adds those of these chunks (or null) that are not there, and seals the file if it has all then.
bool Filler::add_chunks(Large& large, const InodeRecord& file, size_t first, std::span<const Chunk> chunks) {
  const std::lock_guard lock(large.mutex);
  if (large.sealed) return true;
  std::vector<PartialFile::Piece> pieces;
  uint64_t size = 0;
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (!chunks[i] || large.partial->has(first + i)) continue;
    pieces.push_back({first + i, image_.extents(file)[first + i].offset, *chunks[i]});
    size += (chunks[i]->size() + 4095) / 4096 * 4096;
  }
  if (!pieces.empty()) {
    if (!cache_.reserve(size)) throw full();
    large.partial->write(pieces);
    metrics_.cached_bytes.fetch_add(size, std::memory_order_relaxed);
  }
  if (!large.partial->complete()) return false;
  cache_.seal(large.content, *large.partial);
  metrics_.cached_files.fetch_add(1, std::memory_order_relaxed);
  return large.sealed = true;
}

/// These extents; `patient`: readers go first.
bool Filler::fill_by_chunk(const Job& job, const Digest& content, uint32_t first, uint32_t count,
                           bool patient) {
  const InodeRecord& file = image_.inode(job.inode);
  const std::shared_ptr<Large> filling = large(job.inode, content);
  if (!filling) return false;
  const auto extents = image_.extents(file);
  const size_t end = size_t{first} + count;
  bool done = false;
  for (size_t i = first; i < end && !done;) {
    const size_t begin = i;
    std::vector<Chunk> chunks;
    for (; i < end && extents[i].offset / written_at_once == extents[begin].offset / written_at_once; ++i) {
      if (patient ? !rest() : stop_.load()) return false;
      chunks.push_back(filling->partial->has(i) ? nullptr
                                                : bytes_of(image_.chunks()[extents[i].chunk], job.from_afar));
    }
    done = add_chunks(*filling, file, begin, chunks);
  }
  return done;
}

void Filler::fill_now(uint32_t inode, uint32_t first, uint32_t count) {
  const InodeRecord& file = image_.inode(inode);
  const Digest content = content_name(image_, file);
  if (cache_.find(content, file.size)) return;
  // Of a small file all, but what is far only if it was asked for.
  const bool whole = count == image_.extents(file).size();
  if (content_disk_bytes(image_, file) > at_once || !fill_at_once({inode, whole}, content))
    fill_by_chunk({inode, true}, content, first, count, false);
  const std::lock_guard lock(mutex_);
  to_harden_ = true;
}

/// Lets readers that wait for chunks go first, for a moment. False: it is time to end.
bool Filler::rest() {
  std::unique_lock lock(mutex_);
  const auto rest_from = readers_.last() + quiet;
  if (Clock::now() < rest_from) wake_.wait_for(lock, between_chunks, [&] { return stop_.load(); });
  return !stop_;
}

}  // namespace coldstart
