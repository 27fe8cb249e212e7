// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/trace_prefetch.h"

#include <algorithm>

#include "core/base/log.h"
#include "core/base/workers.h"

namespace coldstart {

namespace {

/// What is asked of a server in one go, as content: about what a link of 1 Gbit/s carries in a round trip.
constexpr uint64_t batch_bytes = uint64_t{8} << 20;
/// As many batches are on their way or being filled at once.
constexpr unsigned batches = 4;

}  // namespace

TracePrefetch::TracePrefetch(const ImageReader& image, Store& store, Filler& filler, AccessTrace trace)
    : image_(image),
      store_(store),
      filler_(filler),
      trace_(std::move(trace)),
      from_afar_(store.origin() != nullptr) {
  if (trace_.empty()) return;
  const unsigned threads = from_afar_ ? std::max(default_jobs(), batches) : default_jobs();
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

TracePrefetch::~TracePrefetch() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

/// The chunks of a range of the trace.
std::span<const ExtentRecord> TracePrefetch::extents(const TraceRange& range) const {
  return image_.extents(image_.inode(range.inode)).subspan(range.first, range.count);
}

std::span<const TraceRange> TracePrefetch::next_batch() {
  const std::lock_guard lock(mutex_);
  const size_t first = next_;
  uint64_t bytes = 0;
  while (next_ < trace_.size() && (next_ == first || (from_afar_ && bytes < batch_bytes)))
    for (const ExtentRecord& extent : extents(trace_[next_++])) bytes += image_.chunks()[extent.chunk].length;
  return std::span(trace_).subspan(first, next_ - first);
}

void TracePrefetch::work() {
  try {
    for (auto batch = next_batch(); !batch.empty() && !stop_; batch = next_batch()) {
      if (from_afar_) bring(batch);
      for (const TraceRange& range : batch)
        if (!stop_) filler_.fill_now(range.inode, range.first, range.count);
    }
  } catch (const std::exception& e) {
    log::warn("cannot fetch ahead: {}", e.what());  // who reads it asks again
  }
}

void TracePrefetch::bring(std::span<const TraceRange> batch) {
  std::vector<Digest> digests;
  for (const TraceRange& range : batch)
    for (const ExtentRecord& extent : extents(range))
      digests.push_back(ImageReader::digest(image_.chunks()[extent.chunk]));
  store_.prefetch(digests);
}

}  // namespace coldstart
