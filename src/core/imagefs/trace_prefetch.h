// SPDX-License-Identifier: Apache-2.0
#pragma once
// Brings what a start will read into the local disk cache, ahead of it: the image's access trace, in its
// order, on all cores. What only a server far away has comes in batches, several at once, and is put into the
// cache while others are on their way.

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
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
  using Batch = std::span<const TraceRange>;
  void bring();
  void fill();
  Batch next_locked();
  Batch next_to_fill();
  std::span<const ExtentRecord> extents(const TraceRange& range) const;
  std::vector<Digest> digests(Batch batch) const;

  const ImageReader& image_;
  Store& store_;
  Filler& filler_;
  const AccessTrace trace_;
  const bool from_afar_;
  std::mutex mutex_;  // guards all down to `here_`
  std::condition_variable changed_;
  size_t next_ = 0;         // of the trace, to be fetched, or filled if it is near
  unsigned bringing_ = 0;   // threads that still fetch
  std::deque<Batch> here_;  // fetched and not yet filled
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace coldstart
