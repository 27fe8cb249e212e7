// SPDX-License-Identifier: Apache-2.0
#pragma once
// Brings what a start will read into the local disk cache, ahead of it: the image's access trace, in its
// order, on all cores. What only a server far away has is asked for at once, all of it.

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
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
  void fill();
  void announce();

  const ImageReader& image_;
  Store& store_;
  Filler& filler_;
  const AccessTrace trace_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> is_here_{false};  // nothing has to be fetched from afar any more
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace coldstart
