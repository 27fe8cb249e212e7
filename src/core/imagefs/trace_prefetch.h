// SPDX-License-Identifier: Apache-2.0
#pragma once
// Brings what a start will read into the local disk cache, ahead of it: the image's access trace, in its
// order, on all cores. What only a server far away has comes in batches, several at once, each put into the cache
// while the next ones are on their way.

#include <atomic>
#include <cstddef>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "core/image/trace.h"
#include "core/imagefs/filler.h"

namespace coldstart {

/// Works from construction on, on threads of its own; the destructor ends it early. All that it is given must
/// outlive it.
class TracePrefetch {
 public:
  TracePrefetch(const ImageReader& image, Store& store, Filler& filler, AccessTrace trace);
  TracePrefetch(const TracePrefetch&) = delete;
  TracePrefetch& operator=(const TracePrefetch&) = delete;
  ~TracePrefetch();

 private:
  void work();
  std::span<const TraceRange> next_batch();
  void bring(std::span<const TraceRange> batch);
  std::span<const ExtentRecord> extents(const TraceRange& range) const;

  const ImageReader& image_;
  Store& store_;
  Filler& filler_;
  const AccessTrace trace_;
  const bool from_afar_;
  std::mutex mutex_;  // guards next_
  size_t next_ = 0;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace coldstart
