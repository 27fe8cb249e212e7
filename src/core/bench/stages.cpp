// SPDX-License-Identifier: Apache-2.0
#include "core/bench/stages.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <unistd.h>

#include "core/base/error.h"

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
};

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

std::vector<BenchPart> run_stage(const StageBench& stage, Fixtures& fixtures, const RunOptions& options,
                                 Operation& op) {
  if (stage.as_root && ::geteuid() != 0)
    throw Error::missing(fmt::format("the stage {} needs root", stage.name), "run it as root");
  BenchPart part{stage.name, stage.what, {}, {}};
  const std::vector<Case> cases = stage.cases(fixtures, part);
  part.series = run_paired(stage.name, cases, options, op);
  if (!stage.answers) return {part};
  return {part, fixtures.snapshot_cases().less_warm_answer(part)};
}

}  // namespace coldstart
