// SPDX-License-Identifier: Apache-2.0
#include "core/bench/stages.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/checkpoint/manifest.h"
#include "core/gpu/cuda_driver.h"

namespace coldstart {

namespace {

using Needs = StageBench::Needs;

constexpr std::array stages = {
    StageBench{"image.pack", "until a folder was packed", "tar.zst, squashfs, erofs", Needs::tree, false,
               image_pack_cases},
    StageBench{"image.mount", "until the tree could be listed", "tar.zst unpacked, squashfs, erofs",
               Needs::tree, true, image_mount_cases},
    StageBench{"image.read", "until every file was read, from a new mount", "the folder, squashfs, erofs",
               Needs::tree, true, image_read_cases},
    StageBench{"image.unpack", "until the tree was a folder", "tar.zst, unsquashfs, fsck.erofs", Needs::tree,
               true, image_unpack_cases},
    StageBench{"sandbox", "until a program ran in namespaces of its own", "unshare, bwrap", Needs::nothing,
               true, sandbox_cases},
    StageBench{"criu.dump", "until a running server was dumped", "CRIU alone", Needs::snapshot, true,
               criu_dump_cases},
    StageBench{"criu.restore", "until the restored processes ran", "plain CRIU", Needs::snapshot, true,
               criu_restore_cases},
    StageBench{"memory", "from the request to restore until the first right answer",
               "plain CRIU, CRIU's lazy-pages", Needs::snapshot, true, memory_cases, true},
    StageBench{"gpu.restore", "until checkpointed processes ran on with their device memory",
               "cuda-checkpoint", Needs::gpu_snapshot, true, gpu_restore_cases},
    StageBench{"pool.claim", "from the claim of a slot until its replica was ready", "coldstart restore",
               Needs::snapshot, true, pool_claim_cases},
};

/// Of a snapshot without GPU state, or a host without a driver, nothing can be measured.
void require_gpu(const StageBench& stage, const Fixtures& fixtures) {
  if (read_snapshot_manifest(*fixtures.store(), fixtures.snapshot().digest).gpu.is_null())
    throw Error::usage(fmt::format("the stage {} needs a snapshot with GPU state, which '{}' has not",
                                   stage.name, fixtures.snapshot().snapshot),
                       "--snapshot NAME, of a server that uses a GPU");
  try {
    CudaDriver().require_checkpoints();
  } catch (const Error& e) {
    throw Error::missing(fmt::format("the stage {} needs a GPU: {}", stage.name, e.message()), e.hint());
  }
}

}  // namespace

std::span<const StageBench> stage_benches() {
  return stages;
}

const StageBench& stage_bench(const std::string& name) {
  const auto found =
      std::find_if(stages.begin(), stages.end(), [&](const StageBench& s) { return name == s.name; });
  if (found != stages.end()) return *found;
  std::string names;
  for (const StageBench& s : stages) names += (names.empty() ? "" : ", ") + std::string(s.name);
  throw Error::usage(fmt::format("there is no stage '{}'", name), "stages are " + names);
}

void require_measurable(const StageBench& stage, const Fixtures& fixtures) {
  if (stage.as_root && ::geteuid() != 0)
    throw Error::missing(fmt::format("the stage {} needs root", stage.name), "run it as root");
  if (stage.needs == Needs::gpu_snapshot) require_gpu(stage, fixtures);
}

std::vector<BenchPart> run_stage(const StageBench& stage, Fixtures& fixtures, const RunOptions& options,
                                 Operation& op) {
  BenchPart part{stage.name, stage.what, {}, {}};
  const std::vector<Case> cases = stage.cases(fixtures, part);
  part.series = run_paired(stage.name, cases, options, op);
  if (!stage.answers) return {part};
  return {part, fixtures.snapshot_cases().less_warm_answer(part)};
}

}  // namespace coldstart
