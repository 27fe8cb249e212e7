// SPDX-License-Identifier: Apache-2.0
// The stage gpu.restore: processes whose device memory lies in host memory get it back and run on. It is
// measured in place, without CRIU: one replica is checkpointed and restored again and again.
#include <fmt/format.h>

#include "core/base/process_tree.h"
#include "core/bench/stages.h"
#include "core/bench/tools.h"
#include "core/gpu/controller.h"

namespace coldstart {

namespace {

constexpr std::chrono::milliseconds lock_timeout = std::chrono::seconds(10);

/// A replica that uses a GPU; restored when it is first needed.
class GpuSubject {
 public:
  explicit GpuSubject(Fixtures& f) : f_(f) {}

  void checkpoint() {
    restore_replica();
    controller_.emplace(f_.store()->root());
    controller_->lock(pids_, lock_timeout, f_.cancel());
    controller_->checkpoint(pids_, f_.cancel());
  }
  /// As GpuRestore::finish() does it. The controller was started before, as a restore starts it before CRIU.
  void restore() {
    controller_->restore(pids_, {}, f_.cancel());
    controller_->unlock(pids_, f_.cancel());
    controller_->require_running(pids_, f_.cancel());
  }
  /// What is not running is put back.
  void finish() { controller_.reset(); }

  /// Running to checkpointed, or back, by NVIDIA's tool.
  void toggle() {
    restore_replica();
    for (const pid_t pid : pids_)
      run_tool({"cuda-checkpoint", "--toggle", "--pid", std::to_string(pid)}, f_.cancel());
  }

 private:
  void restore_replica() {
    if (front_) return;
    const SnapshotStart& start = f_.snapshot();
    ReplicaSpec spec = restore_spec(*f_.store(), start.digest, restore_request(start, start.memory));
    front_.emplace(f_.replicas(), spec);
    front_->wait_ready(f_.cancel());
    pids_ = GpuController(f_.store()->root()).cuda_processes(process_tree(front_->pid()), f_.cancel());
    if (pids_.empty()) throw Error(fmt::format("no process of '{}' uses a GPU", start.snapshot));
  }

  Fixtures& f_;
  std::optional<ReplicaFront> front_;
  std::vector<pid_t> pids_;
  std::optional<GpuController> controller_;  // before the replica ends, it puts its processes back
};

}  // namespace

std::vector<Case> gpu_restore_cases(Fixtures& f, BenchPart& part) {
  const auto subject = std::make_shared<GpuSubject>(f);
  std::vector<Case> cases = {{"coldstart", false, timed([subject] { subject->restore(); }),
                              [subject] { subject->checkpoint(); }, [subject] { subject->finish(); }}};
  if (have_tool("cuda-checkpoint", "cuda-checkpoint", "cuda-checkpoint", part))
    cases.push_back(
        {"cuda-checkpoint", true, timed([subject] { subject->toggle(); }), [subject] { subject->toggle(); }});
  return cases;
}

}  // namespace coldstart
