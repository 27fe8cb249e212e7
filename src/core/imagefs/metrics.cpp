// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace coldstart {

namespace {

// Bucket number: the power of two, and the three bits below the highest.
size_t bucket_of(uint64_t ns) {
  if (ns < 8) return ns;
  const auto power = static_cast<size_t>(std::bit_width(ns) - 1);
  return (power - 2) * 8 + (ns >> (power - 3) & 7);
}

/// The largest duration in it.
double bucket_end(size_t bucket) {
  if (bucket < 8) return static_cast<double>(bucket) + 1;
  return std::ldexp(static_cast<double>(8 + bucket % 8 + 1), static_cast<int>(bucket / 8) - 1);
}

OrderedJson tier(const TierCounters& counters) {
  return {{"hits", counters.hits.load()}, {"bytes", counters.bytes.load()}};
}

}  // namespace

void LatencyHistogram::add(std::chrono::nanoseconds duration) {
  const auto ns = static_cast<uint64_t>(std::max<int64_t>(duration.count(), 0));
  counts_[std::min(bucket_of(ns), buckets - 1)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(ns, std::memory_order_relaxed);
}

uint64_t LatencyHistogram::count() const {
  uint64_t sum = 0;
  for (const Counter& c : counts_) sum += c.load(std::memory_order_relaxed);
  return sum;
}

double LatencyHistogram::quantile(double q) const {
  const auto wanted = static_cast<uint64_t>(std::ceil(q * static_cast<double>(count())));
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets; ++i) {
    seen += counts_[i].load(std::memory_order_relaxed);
    if (seen > 0 && seen >= wanted) return bucket_end(i) * 1e-9;
  }
  return 0;
}

OrderedJson ImageMetrics::to_json() const {
  const uint64_t all = opens, through = passed_through;
  return {
      {"tiers",
       {{"memory", tier(memory)}, {"disk", tier(disk)}, {"store", tier(store)}, {"remote", tier(remote)}}},
      {"fetch_seconds",
       {{"count", fetch.count()},
        {"sum", fetch.sum_seconds()},
        {"p50", fetch.quantile(0.5)},
        {"p90", fetch.quantile(0.9)},
        {"p99", fetch.quantile(0.99)}}},
      {"opens", all},
      {"passed_through", through},
      {"passthrough_share", all == 0 ? 0.0 : static_cast<double>(through) / static_cast<double>(all)},
      {"cached_files", cached_files.load()},
      {"cached_bytes", cached_bytes.load()},
      {"errors", errors.load()}};
}

}  // namespace coldstart
