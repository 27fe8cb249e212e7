// SPDX-License-Identifier: Apache-2.0
#pragma once
// Runs the cases of a comparison in rounds. A round runs each case once, one after the other, so that all of
// a round see the same machine and can be compared as a pair; every other round runs backwards, so that none
// always profits from what its neighbour left in caches.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/timeline/operation.h"

namespace coldstart {

/// A step of a run, on the run's own clock.
struct StageSpan {
  std::string name;
  double start = 0;  ///< seconds since the run began
  double seconds = 0;
  std::optional<uint64_t> bytes;  ///< moved by it, where that means something
};

/// One run of a case.
struct Run {
  double seconds = 0;
  std::vector<StageSpan> stages;  ///< may be empty
};

/// What is timed. `run` times itself, as only it knows where what counts begins. tear_down is called after
/// every run, also after one that failed.
struct Case {
  std::string name;
  bool baseline = false;  ///< what ours is compared with
  std::function<Run()> run;
  std::function<void()> set_up = [] {};  ///< not timed; caches are dropped after it
  std::function<void()> tear_down = [] {};
};

/// A run that is timed from its first to its last instruction.
std::function<Run()> timed(std::function<void()> work);

struct RunOptions {
  unsigned runs = 5;
  unsigned warmups = 1;      ///< rounds before those that count
  bool drop_caches = false;  ///< the kernel's, before each run; needs root
};

/// What the runs of one case took.
struct Series {
  std::string name;
  bool baseline = false;
  std::vector<double> seconds;    ///< a run each; equal indexes are of one round
  std::vector<StageSpan> stages;  ///< of the run nearest to the median
};

/// Runs all rounds; `shown` names the comparison to whoever watches. What a case throws ends it.
std::vector<Series> run_paired(const std::string& shown, const std::vector<Case>& cases,
                               const RunOptions& options, Operation& op);

}  // namespace coldstart
