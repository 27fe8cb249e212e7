// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a handful of timings say.

#include <vector>

namespace coldstart {

struct Summary {
  double min = 0, median = 0, mean = 0, stddev = 0, max = 0;
};

/// Of at least one value; the standard deviation is the sample's (n - 1), 0 for one value.
Summary summarize(std::vector<double> values);

/// Median of the ratios value[i] / baseline[i] of paired runs. Noise that hits both of a pair cancels
/// out, which a ratio of medians does not give. Both must have the same, non-zero length.
double paired_ratio(const std::vector<double>& values, const std::vector<double>& baseline);

/// True if some value lies further than three scaled median absolute deviations from the median: the
/// runs were disturbed. Needs at least 4 values to say so.
bool has_outliers(std::vector<double> values);

}  // namespace coldstart
