// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/metrics.h"

#include <doctest/doctest.h>

#include "core/imagefs/mount_stat.h"

using namespace coldstart;
using namespace std::chrono_literals;

TEST_CASE("percentiles are right within an eighth") {
  LatencyHistogram latencies;
  CHECK(latencies.quantile(0.5) == 0);
  for (int i = 1; i <= 1000; ++i) latencies.add(i * 1us);
  CHECK(latencies.count() == 1000);
  CHECK(latencies.sum_seconds() == doctest::Approx(0.5005));
  CHECK(latencies.quantile(0.5) == doctest::Approx(500e-6).epsilon(0.13));
  CHECK(latencies.quantile(0.99) == doctest::Approx(990e-6).epsilon(0.13));
  CHECK(latencies.quantile(1) >= 1e-3);
  latencies.add(-1ns);
  latencies.add(0ns);
  latencies.add(std::chrono::hours(24 * 365 * 200));
  CHECK(latencies.quantile(1) > 1e9);
}

TEST_CASE("a small duration never counts as shorter than it was") {
  for (const int64_t ns : {1, 7, 8, 9, 15, 16, 17, 1023, 1024, 1025, 123456789}) {
    LatencyHistogram one;
    one.add(std::chrono::nanoseconds(ns));
    const double q = one.quantile(0.5) * 1e9;
    CHECK(q >= static_cast<double>(ns));
    CHECK(q <= static_cast<double>(ns) * 1.13 + 1);
  }
}

TEST_CASE("metrics as JSON and for Prometheus") {
  ImageMetrics metrics;
  metrics.disk.add(1000);
  metrics.opens = 4;
  metrics.passed_through = 3;
  OrderedJson stat = metrics.to_json();
  CHECK(stat["passthrough_share"] == 0.75);
  CHECK(stat["tiers"]["disk"]["bytes"] == 1000);
  stat["disk_cache"] = {{"bytes", 5}, {"limit", 10}};
  stat["memory_bytes"] = 7;
  const std::string text = as_prometheus(stat, "/mnt/\"x\"");
  CHECK(text.find("# TYPE coldstart_tier_bytes_total counter\n") != text.npos);
  CHECK(text.find("coldstart_tier_bytes_total{mount=\"/mnt/\\\"x\\\"\",tier=\"disk\"} 1000\n") != text.npos);
  CHECK(text.find("coldstart_opens_total{mount=\"/mnt/\\\"x\\\"\"} 4\n") != text.npos);
  CHECK(text.find("coldstart_fetch_seconds_count{mount=\"/mnt/\\\"x\\\"\"} 0\n") != text.npos);
}
