// SPDX-License-Identifier: Apache-2.0
#pragma once
// Taking a snapshot: a process tree that serves becomes trees of chunks and a manifest in the store.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/manifest.h"
#include "core/pipeline/criu_here.h"
#include "core/pipeline/gpu_stage.h"
#include "core/pipeline/stage.h"
#include "core/sandbox/front.h"
#include "core/store/store.h"

namespace coldstart {

/// What is to be dumped, and what a later restore must know of it.
struct SnapshotSubject {
  pid_t pid = 0;                 ///< root of the tree, as seen from the host
  std::filesystem::path folder;  ///< of its replica; empty: a process of the host that we did not start
  ReplicaSpec spec;              ///< as it was started, as far as that is known
  std::vector<std::string> warmups;
};

/// What becomes of it.
struct SnapshotEnding {
  bool leave_running = false;  ///< else it is killed once it is dumped
  GpuChoice gpu = GpuChoice::automatic;
  std::chrono::milliseconds gpu_timeout = std::chrono::seconds(10);  ///< for work that runs on the GPU to end
  std::vector<std::string> weights;  ///< .safetensors files, as the processes see them: not stored again
  bool tcp_close = false;  ///< open TCP connections come back closed; else those to the outside are an error
};

struct SnapshotResult {
  Digest digest;
  uint32_t processes = 0;
  uint64_t memory_bytes = 0;
  uint64_t stored_bytes = 0;   ///< compressed size of all that belongs to it (its image not counted)
  uint64_t new_bytes = 0;      ///< compressed bytes that were not in the store before
  uint64_t weights_bytes = 0;  ///< of memory, found in the files of weights
};

/// Dumps the tree and publishes it as `reference`: stages gpu.checkpoint, criu.dump and store. If that fails,
/// or is cancelled, the tree runs on and nothing is published.
SnapshotResult take_snapshot(const std::shared_ptr<Store>& store, const CriuHere& criu,
                             const SnapshotSubject& subject, const RefName& reference,
                             const SnapshotEnding& ending, Chain& chain, Operation& op);

/// Waits until the replica is ready; the stages that its supervisor tells of go to `chain`.
void wait_ready(ReplicaFront& front, Chain& chain, Operation& op);

/// Runs each warm-up (a URL to GET, or a shell command inside) against the replica: stage warmup, absent if
/// there is none. Throws Error if one fails.
void warm_up(const SnapshotSubject& subject, Chain& chain, Operation& op);

/// Runs a shell command inside, for the server to drop what the snapshot need not hold: stage pre-snapshot,
/// absent if `command` is empty. Throws Error if it fails.
void run_pre_snapshot(const SnapshotSubject& subject, const std::string& command, Chain& chain,
                      Operation& op);

}  // namespace coldstart
