// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a cold start costs, by three ways, in turn: the program started plainly, plain CRIU, and ours. The
// figure is the time from the request to start until the first right answer, which is what a user of the
// server waits for.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/bench/statistics.h"
#include "core/pipeline/request.h"
#include "core/pipeline/stage.h"
#include "core/sandbox/replica.h"
#include "core/store/store.h"

namespace coldstart {

struct ColdStartOptions {
  std::string snapshot;  ///< as the user named it
  Request request;
  unsigned runs = 5;
  unsigned warmups = 1;      ///< runs before those that count
  bool drop_caches = false;  ///< of the kernel, before each run
  std::string memory = "auto";
  std::optional<Net> net;                                        ///< else the snapshot's
  std::vector<Bind> binds;                                       ///< as for a restore
  std::chrono::milliseconds timeout = std::chrono::minutes(10);  ///< for one run
};

/// One way to start, and what it took.
struct ColdStartSeries {
  std::string name;               ///< "plain", "criu", "coldstart"
  std::vector<double> seconds;    ///< to the first right answer, a run each
  std::vector<StageTime> stages;  ///< of the last run
};

struct ColdStartReport {
  std::vector<ColdStartSeries> series;
  Digest answer;  ///< of the answer that all gave
  /// seconds of `name` against those of `baseline`, as the median of the pairs.
  double ratio(const std::string& name, const std::string& baseline) const;
};

/// Runs them interleaved. Throws Error if one gives another answer than the plain start.
ColdStartReport bench_cold_start(const std::shared_ptr<Store>& store, Replicas& replicas,
                                 const Digest& snapshot, const ColdStartOptions& options, Operation& op);

OrderedJson to_json(const ColdStartReport& report);
std::string to_markdown(const ColdStartReport& report);

}  // namespace coldstart
