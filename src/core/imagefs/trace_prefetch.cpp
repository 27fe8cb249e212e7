// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/trace_prefetch.h"

#include "core/base/log.h"
#include "core/base/workers.h"

namespace coldstart {

namespace {

/// What is asked of a server in one go, as content: about what a link of 1 Gbit/s carries in a round trip.
constexpr uint64_t batch_bytes = uint64_t{8} << 20;
/// As many batches are on their way at once: a link is never idle while the next one is asked for.
constexpr unsigned batches = 4;

}  // namespace

TracePrefetch::TracePrefetch(const ImageReader& image, Store& store, Filler& filler, AccessTrace trace)
    : image_(image),
      store_(store),
      filler_(filler),
      trace_(std::move(trace)),
      from_afar_(store.origin() != nullptr) {
  if (trace_.empty()) return;
  if (from_afar_) store_.origin()->announce(digests(trace_));
  bringing_ = from_afar_ ? batches : 0;
  for (unsigned i = 0; i < bringing_; ++i) threads_.emplace_back([this] { bring(); });
  for (unsigned i = 0; i < default_jobs(); ++i) threads_.emplace_back([this] { fill(); });
}

TracePrefetch::~TracePrefetch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

/// The chunks of a range of the trace.
std::span<const ExtentRecord> TracePrefetch::extents(const TraceRange& range) const {
  return image_.extents(image_.inode(range.inode)).subspan(range.first, range.count);
}

std::vector<Digest> TracePrefetch::digests(Batch batch) const {
  std::vector<Digest> result;
  for (const TraceRange& range : batch)
    for (const ExtentRecord& extent : extents(range))
      result.push_back(ImageReader::digest(image_.chunks()[extent.chunk]));
  return result;
}

/// Empty: there is no more, or it is time to end.
TracePrefetch::Batch TracePrefetch::next_locked() {
  const size_t first = next_;
  uint64_t bytes = 0;
  while (!stop_ && next_ < trace_.size() && (next_ == first || (from_afar_ && bytes < batch_bytes)))
    for (const ExtentRecord& extent : extents(trace_[next_++])) bytes += image_.chunks()[extent.chunk].length;
  return Batch(trace_).subspan(first, next_ - first);
}

void TracePrefetch::bring() {
  std::unique_lock lock(mutex_);
  for (Batch batch = next_locked(); !batch.empty(); batch = next_locked()) {
    lock.unlock();
    try {
      store_.prefetch(digests(batch));
    } catch (const std::exception& e) {
      log::warn("cannot fetch ahead: {}", e.what());  // who reads it asks again
    }
    lock.lock();
    here_.push_back(batch);
    changed_.notify_one();
  }
  --bringing_;
  changed_.notify_all();
}

/// Empty: as next_locked().
TracePrefetch::Batch TracePrefetch::next_to_fill() {
  std::unique_lock lock(mutex_);
  if (!from_afar_) return next_locked();
  changed_.wait(lock, [&] { return stop_ || !here_.empty() || bringing_ == 0; });
  if (stop_ || here_.empty()) return {};
  const Batch batch = here_.front();
  here_.pop_front();
  return batch;
}

void TracePrefetch::fill() {
  try {
    for (Batch batch = next_to_fill(); !batch.empty(); batch = next_to_fill())
      for (const TraceRange& range : batch)
        if (!stop_) filler_.fill_now(range.inode, range.first, range.count);
  } catch (const std::exception& e) {
    log::warn("cannot fetch ahead: {}", e.what());  // who reads it asks again
  }
}

}  // namespace coldstart
