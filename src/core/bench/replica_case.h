// SPDX-License-Identifier: Apache-2.0
#pragma once
// A case that starts replicas and waits for their first right answer.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/bench/runner.h"
#include "core/pipeline/request.h"
#include "core/sandbox/front.h"
#include "core/sandbox/replica.h"
#include "core/sandbox/supervisor.h"
#include "core/store/digest.h"

namespace coldstart {

/// The answer that all cases of a comparison must give: the first one's.
using SharedAnswer = std::shared_ptr<std::optional<Digest>>;

/// Seconds of each answer of a replica that had answered before.
using SharedWarm = std::shared_ptr<std::vector<double>>;

struct ReplicaCase {
  std::string name;
  bool baseline = false;
  /// How a replica is to be started; called for each, outside of the timed part.
  std::function<ReplicaSpec()> spec;
  unsigned replicas = 1;  ///< started at once; the last answer counts
  Request request;        ///< empty: no answer is waited for, only that the replicas run
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
  SharedAnswer answer = std::make_shared<std::optional<Digest>>();
  SharedWarm warm = std::make_shared<std::vector<double>>();
};

/// Its stages are those that the replica's supervisor tells of, then "start-up" (from then until the request
/// that was answered was sent: imports, weights; of one replica) and "answer". The replicas are gone after
/// each run. A run throws Error if a replica answers differently than the first one did. `replicas` and `op`
/// must outlive the case.
Case replica_case(const ReplicaCase& what, Replicas& replicas, Operation& op);

}  // namespace coldstart
