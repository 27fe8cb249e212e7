// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a cold start costs, by three ways, in turn: the program started plainly, plain CRIU, and ours. The
// figure is the time from the request to start until the first right answer, which is what a user of the
// server waits for.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/bench/replica_case.h"
#include "core/bench/report.h"
#include "core/pipeline/restore.h"
#include "core/store/store.h"

namespace coldstart {

/// How replicas of a snapshot are started for a bench.
struct SnapshotStart {
  std::string snapshot;  ///< as the user named it
  Digest digest;
  Request request;
  std::string memory = "auto";  ///< of ours
  std::optional<Net> net;       ///< else the snapshot's
  std::vector<Bind> binds;      ///< as for a restore
  unsigned replicas = 1;        ///< started at once; more than one need a network each
  std::chrono::milliseconds timeout = std::chrono::minutes(10);  ///< for one run
};

/// How it is asked for; the replica is ready when the snapshot's readiness holds.
RestoreRequest restore_request(const SnapshotStart& start, const std::string& memory);

/// Makes cases that start a snapshot's server. All cases of one object must give the same answer.
class SnapshotCases {
 public:
  /// All references must outlive the cases.
  SnapshotCases(const std::shared_ptr<Store>& store, Replicas& replicas, const SnapshotStart& start,
                Operation& op);
  /// The program started anew, as `run` does: a baseline.
  Case plain() const;
  /// A restore of ours with `memory` as in RestoreRequest. Waits for the answer to the request, if `answer`.
  Case restored(const std::string& name, const std::string& memory, bool answer = true) const;
  /// A baseline: CRIU by itself, which fills memory before it lets anything run, or (`lazy`) while it runs,
  /// from its own page server.
  Case criu(const std::string& name, bool lazy, bool answer = true) const;
  /// What is left of the times of a comparison without the time of a warm answer: the cold start alone. That
  /// time is the median, as the figures are: the least would leave the machine's noise on the cold start.
  BenchPart less_warm_answer(const BenchPart& part) const;
  /// Of the answer that all gave, once there was one.
  std::string answer() const;
  /// "memory_bytes", "replicas", "image_bytes": for BenchReport::parameters.
  std::map<std::string, double> parameters() const;

 private:
  ReplicaCase base(const std::string& name, const std::string& memory, bool plain_criu = false) const;

  const std::shared_ptr<Store> store_;
  Replicas& replicas_;
  const SnapshotStart& start_;
  Operation& op_;
  SharedAnswer answer_ = std::make_shared<std::optional<Digest>>();
  SharedWarm warm_ = std::make_shared<std::vector<double>>();
};

/// Runs them interleaved; gives the whole times, and what is left of them without a warm answer. Throws Error
/// if one gives another answer than the plain start.
std::vector<BenchPart> bench_cold_start(const SnapshotCases& cases, const SnapshotStart& start,
                                        const RunOptions& options, Operation& op);

}  // namespace coldstart
