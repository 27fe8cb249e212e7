// SPDX-License-Identifier: Apache-2.0
#include "core/bench/cold_start.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/bench/statistics.h"
#include "core/image/image.h"

namespace coldstart {

RestoreRequest restore_request(const SnapshotStart& start, const std::string& memory) {
  RestoreRequest request;
  request.source = start.snapshot;
  request.memory = memory;
  request.net = start.net;
  request.binds = start.binds;
  return request;
}

SnapshotCases::SnapshotCases(const std::shared_ptr<Store>& store, Replicas& replicas,
                             const SnapshotStart& start, Operation& op)
    : store_(store), replicas_(replicas), start_(start), op_(op) {}

ReplicaCase SnapshotCases::base(const std::string& name, const std::string& memory, bool plain_criu) const {
  RestoreRequest request = restore_request(start_, memory);
  request.plain_criu = plain_criu;
  request.ready = Readiness();  // the first answer is the readiness that counts
  ReplicaCase result;
  result.name = name;
  result.baseline = plain_criu;
  result.spec = [store = store_, digest = start_.digest, request] {
    return restore_spec(*store, digest, request);
  };
  result.replicas = start_.replicas;
  result.request = start_.request;
  result.timeout = start_.timeout;
  result.answer = answer_;
  result.warm = warm_;
  return result;
}

Case SnapshotCases::plain() const {
  ReplicaCase plain = base("plain", "auto");
  plain.baseline = true;
  plain.spec = [restored = plain.spec] {
    ReplicaSpec spec = restored();
    spec.launch = {{"kind", "program"}};
    return spec;
  };
  return replica_case(plain, replicas_, op_);
}

Case SnapshotCases::restored(const std::string& name, const std::string& memory, bool answer) const {
  ReplicaCase restored = base(name, memory);
  if (!answer) restored.request = {};
  return replica_case(restored, replicas_, op_);
}

Case SnapshotCases::criu(const std::string& name, bool lazy, bool answer) const {
  ReplicaCase restored = base(name, lazy ? "lazy" : "eager", true);
  if (!answer) restored.request = {};
  return replica_case(restored, replicas_, op_);
}

BenchPart SnapshotCases::less_warm_answer(const BenchPart& part) const {
  BenchPart rest = part;
  const double warm = warm_->empty() ? 0 : summarize(*warm_).median;
  rest.stage += "-alone";
  rest.what = fmt::format("the same less {:.3f} s, which a warm answer takes", warm);
  rest.skipped.clear();
  for (Series& series : rest.series)
    for (double& seconds : series.seconds) seconds = std::max(0.0, seconds - warm);
  return rest;
}

std::string SnapshotCases::answer() const {
  return *answer_ ? (*answer_)->text() : std::string();
}

std::map<std::string, double> SnapshotCases::parameters() const {
  const SnapshotManifest manifest = read_snapshot_manifest(*store_, start_.digest);
  std::map<std::string, double> parameters = {{"memory_bytes", static_cast<double>(manifest.memory_bytes)},
                                              {"replicas", static_cast<double>(start_.replicas)}};
  if (manifest.image)
    parameters["image_bytes"] = static_cast<double>(read_image_manifest(*store_, *manifest.image).bytes);
  return parameters;
}

std::vector<BenchPart> bench_cold_start(const SnapshotCases& cases, const SnapshotStart& start,
                                        const RunOptions& options, Operation& op) {
  BenchPart part{"cold-start", "from the request to start until the first right answer", {}, {}};
  part.series = run_paired(
      "cold-start", {cases.plain(), cases.criu("criu", false), cases.restored("coldstart", start.memory)},
      options, op);
  return {part, cases.less_warm_answer(part)};
}

}  // namespace coldstart
