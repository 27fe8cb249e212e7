// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a bench found, as a value: made by benches, shown by commands, written by exporters, read again for
// comparisons and plots.

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/bench/environment.h"
#include "core/bench/runner.h"
#include "core/bench/statistics.h"

namespace coldstart {

/// What could not take part, and why.
struct Skipped {
  std::string name;
  std::string reason;
};

/// One of ours against one baseline, over the rounds of a part.
struct Ratio {
  std::string key;   ///< "coldstart/plain" of a cold start, else "image.read: coldstart/squashfs"
  std::string name;  ///< ours
  std::string baseline;
  Summary of;  ///< of seconds / seconds, smaller is better
};

/// One comparison: cases that ran in the same rounds.
struct BenchPart {
  std::string stage;  ///< "cold-start", "image.read", …
  std::string what;   ///< what the seconds are of, for people: "until every file was read"
  std::vector<Series> series;
  std::vector<Skipped> skipped;

  /// Of each of ours to each baseline.
  std::vector<Ratio> ratios() const;
};

struct BenchReport {
  std::vector<BenchPart> parts;
  RunOptions options;
  Environment environment;
  /// What was measured on, for plots: "memory_bytes", "replicas", "image_bytes", "image_files".
  std::map<std::string, double> parameters;
  int64_t created = 0;  ///< seconds since 1970
  std::string answer;   ///< digest of the answer that all cold starts gave; else empty

  OrderedJson to_json() const;
  /// Throws Error::corrupt naming `document`.
  static BenchReport from_json(std::string_view text, const std::string& document);
};

}  // namespace coldstart
