// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/trace_prefetch.h"

#include "core/base/log.h"
#include "core/base/workers.h"

namespace coldstart {

TracePrefetch::TracePrefetch(const ImageReader& image, Store& store, Filler& filler, AccessTrace trace)
    : image_(image), store_(store), filler_(filler), trace_(std::move(trace)) {
  if (trace_.empty()) return;
  is_here_ = store_.origin() == nullptr;
  if (!is_here_) threads_.emplace_back([this] { announce(); });
  for (unsigned i = 0; i < default_jobs(); ++i) threads_.emplace_back([this] { fill(); });
}

TracePrefetch::~TracePrefetch() {
  stop_ = true;
  is_here_ = true;
  is_here_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void TracePrefetch::announce() {
  std::vector<Digest> digests;
  for (const TraceRange& range : trace_)
    for (const ExtentRecord& extent :
         image_.extents(image_.inode(range.inode)).subspan(range.first, range.count))
      digests.push_back(ImageReader::digest(image_.chunks()[extent.chunk]));
  try {
    store_.prefetch(digests);
  } catch (const std::exception& e) {
    log::warn("cannot fetch ahead: {}", e.what());  // who reads it asks again
  }
  is_here_ = true;
  is_here_.notify_all();
}

void TracePrefetch::fill() {
  is_here_.wait(false);
  bool failed = false;
  for (size_t i = next_++; i < trace_.size() && !stop_ && !failed; i = next_++) {
    const TraceRange& range = trace_[i];
    try {
      filler_.fill_now(range.inode, range.first, range.count);
    } catch (const std::exception& e) {
      log::warn("cannot fetch ahead: {}", e.what());
      failed = true;
    }
  }
}

}  // namespace coldstart
