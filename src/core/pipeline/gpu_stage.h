// SPDX-License-Identifier: Apache-2.0
#pragma once
// The GPU's part in a snapshot and in a restore: stages gpu.checkpoint and gpu.restore.
//
//   snapshot:  preflight ─ lock all ─ checkpoint all ─┬─ CRIU's dump ─ the bytes are there ─ publish
//                                                     └─ --leave-running: restore all ─ unlock all
//   restore:   does it fit, is there room, on the GPU and the host ─ CRIU's restore, with all of the host
//   copies ─
//              restore all ─ unlock all ─ all run ─ readiness
//
// Processes are locked before anything is frozen, and all of them before the first is checkpointed. Whatever
// throws: the destructors put every process back to where it runs, or end it (see core/gpu/controller.h).

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/pinned_list.h"
#include "core/gpu/controller.h"
#include "core/gpu/facts.h"
#include "core/pipeline/stage.h"
#include "core/sandbox/sandbox.h"

namespace coldstart {

enum class GpuChoice {
  automatic,  ///< if a process uses CUDA
  on,         ///< and an error if none does
  off         ///< never looked at
};
/// Of "auto", "on" or "off"; Error::usage for another word.
GpuChoice parse_gpu_choice(std::string_view word);

/// GPU state that was moved into the processes' own memory, for as long as it is there.
class GpuCheckpoint {
 public:
  /// Stage gpu.checkpoint; nothing, and no stage, if no process of the tree uses CUDA. `lock_timeout` is how
  /// long to wait for work that runs on the GPU. If it throws all processes run on.
  static std::optional<GpuCheckpoint> take(const std::filesystem::path& store_root, pid_t root,
                                           GpuChoice choice, std::chrono::milliseconds lock_timeout,
                                           Chain& chain, Operation& op);

  /// For the manifest.
  Json facts() const { return facts_.to_json(); }
  /// The mappings that device memory was copied to.
  const std::vector<PinnedMapping>& host_copies() const { return host_copies_; }
  /// After the dump: throws unless the images hold the device memory too.
  void require_dumped(uint64_t image_bytes) const;
  /// The processes run again, with their GPU state: for --leave-running.
  void resume(const CancelToken& cancel);

 private:
  GpuCheckpoint(GpuController controller, std::vector<pid_t> pids)
      : controller_(std::move(controller)), pids_(std::move(pids)) {}
  GpuController controller_;
  std::vector<pid_t> pids_;
  GpuSnapshotFacts facts_;
  std::vector<PinnedMapping> host_copies_;
};

/// Device memory that replicas which were asked for are about to take: bytes by GPU.
using GpuPlan = std::map<GpuUuid, uint64_t>;

/// For who wants to restore: which GPUs it will use, as the replica's supervisor is to be told. `facts` is
/// the manifest's "gpu"; null if that is. What it will take is added to `plan`, which counts as taken. Those
/// that are `ill`, and why, are not there. Throws Error::incompatible (exit 5) if this host does not fit.
Json gpu_restore_request(const Json& facts, const std::string& asked_map, GpuPlan& plan,
                         const std::map<GpuUuid, std::string>& ill = {});
/// The GPUs that a replica is to use by that. `facts` is the manifest's "gpu".
std::vector<GpuUuid> gpus_of_request(const Json& facts, const Json& request);

/// GPU state on its way back, in the supervisor.
class GpuRestore {
 public:
  /// Starts the controller, which gets ready while all else of the restore is done, and keeps the driver from
  /// letting go of GPUs that nobody uses. Nothing if `facts` is null.
  static std::optional<GpuRestore> begin(const std::filesystem::path& store_root, const Json& facts,
                                         const Json& request);
  /// Stage gpu.restore, when CRIU has restored the processes. Returns once all of them run; gives the bytes
  /// that came back. Throws Error::incompatible if the device memory is not free: a slot of a pool may have
  /// waited since that was looked at.
  uint64_t finish(const Sandbox& sandbox, const CancelToken& cancel);

 private:
  GpuRestore(const std::filesystem::path& store_root, GpuSnapshotFacts facts, GpuMap map)
      : controller_(store_root), facts_(std::move(facts)), map_(std::move(map)) {}
  GpuController controller_;
  GpuSnapshotFacts facts_;
  GpuMap map_;
};

}  // namespace coldstart
