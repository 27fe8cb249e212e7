// SPDX-License-Identifier: Apache-2.0
#pragma once
// A stage: one named, timed step of a cold start. `restore`, `snapshot`, `pool` and `bench` are chains of
// stages, so that what is timed is exactly what runs.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/timeline/operation.h"

namespace coldstart {

/// What a stage took. Names are a contract (scripts read them): claim, image.mount, sandbox, memory,
/// criu.restore, gpu.restore, ready; for a snapshot launch, ready, warmup, gpu.checkpoint, criu.dump, store.
struct StageTime {
  std::string name;
  double seconds = 0;
  std::optional<uint64_t> bytes;  ///< moved by it, where that means something
};

/// [{"name": …, "seconds": …, "bytes"?: …}, …]
OrderedJson to_json(const std::vector<StageTime>& stages);

/// Runs stages one after the other and keeps their times. What a stage made it owns by RAII in whatever
/// it captured: when a later one throws, the caller's scope unwinds it. Not thread-safe.
class Chain {
 public:
  explicit Chain(Operation& op) : op_(op) {}

  /// Runs one stage; `run` may set the bytes it moved. Checks for cancellation before it.
  void stage(const std::string& name, const std::function<void(StageTime&)>& run);
  /// A stage that ran elsewhere (in the supervisor of a replica).
  void add(StageTime time, Timeline::Clock::time_point start);
  const std::vector<StageTime>& times() const { return times_; }
  double seconds() const;  ///< of all stages together

 private:
  Operation& op_;
  std::vector<StageTime> times_;
};

}  // namespace coldstart
