// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a server has done, for `coldstart mount stat`: counted without locks, read while it goes on.

#include <array>
#include <atomic>
#include <chrono>

#include "core/base/json.h"

namespace coldstart {

using Counter = std::atomic<uint64_t>;

/// Durations in buckets that are an eighth of a power of two wide: percentiles within a few percent.
class LatencyHistogram {
 public:
  void add(std::chrono::nanoseconds duration);
  uint64_t count() const;
  /// Seconds that the share `q` (0 to 1) of all durations stays below; 0 without any.
  double quantile(double q) const;
  double sum_seconds() const { return static_cast<double>(sum_.load()) * 1e-9; }

 private:
  static constexpr size_t buckets = size_t{60} * 8;
  std::array<Counter, buckets> counts_{};
  Counter sum_{0};  // nanoseconds
};

struct TierCounters {
  Counter hits{0};
  Counter bytes{0};
  void add(uint64_t more) {
    hits.fetch_add(1, std::memory_order_relaxed);
    bytes.fetch_add(more, std::memory_order_relaxed);
  }
};

/// Reads that the kernel has answered itself, from its page cache or by passthrough, are not ours to count.
struct ImageMetrics {
  TierCounters memory;  ///< of a read's pieces: found decompressed in memory
  TierCounters disk;    ///< from the local disk cache
  TierCounters store;   ///< chunks that were on this host when somebody asked for them
  TierCounters remote;  ///< chunks that came from elsewhere, ahead of readers or not (ChunkOrigin::brought())
  LatencyHistogram fetch;  ///< of chunks, from store or remote
  Counter opens{0};
  Counter passed_through{0};  ///< of the opens
  Counter errors{0};          ///< requests that got EIO
  Counter cached_files{0};    ///< that this server has added to the disk cache
  Counter cached_bytes{0};

  OrderedJson to_json() const;
};

}  // namespace coldstart
