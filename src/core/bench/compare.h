// SPDX-License-Identifier: Apache-2.0
#pragma once
// A run against an earlier one: what got slower, for CI.
//
// A figure got worse if its median is larger by more than `threshold` AND the intervals of the two medians
// (statistics.h) do not overlap: large enough to matter, and no noise. Compared are the ratios to baselines,
// which another machine, or the same one on a bad day, changes little; and the seconds, if both runs are of
// machines that are alike. What only one of the two has is named, not compared.

#include <string>
#include <vector>

#include "core/bench/report.h"

namespace coldstart {

/// One figure in both runs.
struct Change {
  enum class Verdict { same, faster, slower };
  std::string figure;   ///< "image.read coldstart", "image.read: coldstart/squashfs"
  bool seconds = true;  ///< else a ratio
  Summary before, after;
  Verdict verdict = Verdict::same;
};

struct ReportComparison {
  std::vector<Change> changes;
  std::vector<std::string> notes;  ///< what was not compared, and why

  bool regressed() const;
};

/// `threshold` 0.05 is five per cent.
ReportComparison compare_reports(const BenchReport& before, const BenchReport& after, double threshold);

OrderedJson to_json(const ReportComparison& comparison);

}  // namespace coldstart
