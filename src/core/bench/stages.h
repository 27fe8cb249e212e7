// SPDX-License-Identifier: Apache-2.0
#pragma once
// The stages of a cold start, each measured alone against what others have for it.
//
// To add a stage: write a function that makes its cases (image_stages.cpp, restore_stages.cpp, …) and name it
// in the table in stages.cpp.

#include <span>
#include <string>
#include <vector>

#include "core/bench/fixtures.h"
#include "core/bench/report.h"

namespace coldstart {

struct StageBench {
  enum class Needs { nothing, tree, snapshot, gpu_snapshot };
  const char* name;       ///< as in StageTime where there is one of that name
  const char* what;       ///< what the seconds are of: "until …"
  const char* baselines;  ///< what it is compared with, for --list
  Needs needs;
  bool as_root;
  /// The cases; notes in `part` what is skipped.
  std::vector<Case> (*cases)(Fixtures& fixtures, BenchPart& part);
  bool answers = false;  ///< a case ends with an answer: what is left without a warm one is shown, too
};

std::span<const StageBench> stage_benches();
/// Throws Error::usage that names the nearest.
const StageBench& stage_bench(const std::string& name);

/// Throws what measuring it would throw for want of what it needs: root, a snapshot, one with GPU state, a
/// driver. To be asked of all stages before the first is measured.
void require_measurable(const StageBench& stage, const Fixtures& fixtures);

/// Measures one stage; a second part is what SnapshotCases::less_warm_answer() makes of it.
std::vector<BenchPart> run_stage(const StageBench& stage, Fixtures& fixtures, const RunOptions& options,
                                 Operation& op);

// In image_stages.cpp, restore_stages.cpp, gpu_stage.cpp and claim_stage.cpp.
std::vector<Case> image_pack_cases(Fixtures& fixtures, BenchPart& part);
std::vector<Case> image_mount_cases(Fixtures& fixtures, BenchPart& part);
std::vector<Case> image_read_cases(Fixtures& fixtures, BenchPart& part);
std::vector<Case> image_unpack_cases(Fixtures& fixtures, BenchPart& part);
std::vector<Case> sandbox_cases(Fixtures& fixtures, BenchPart& part);
std::vector<Case> criu_dump_cases(Fixtures& fixtures, BenchPart& part);
std::vector<Case> criu_restore_cases(Fixtures& fixtures, BenchPart& part);
std::vector<Case> memory_cases(Fixtures& fixtures, BenchPart& part);
std::vector<Case> gpu_restore_cases(Fixtures& fixtures, BenchPart& part);
std::vector<Case> pool_claim_cases(Fixtures& fixtures, BenchPart& part);

}  // namespace coldstart
