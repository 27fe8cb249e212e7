// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a handful of timings say, and how sure that is.
//
// Times of real programs are not normally distributed: they have a floor, and a tail of whatever else the
// machine did. So the figure is the median, and what is said about it assumes no distribution.
//
// The interval of a median is made of order statistics. Each of n runs lies below the true median with
// probability 1/2, so the true median lies between the k-th smallest and the k-th largest of them with
// probability 1 - 2 P(B(n, 1/2) < k). Taken is the narrowest such pair that covers at least 95 %. Fewer than
// six runs cannot give that: then it is the smallest and the largest, and `coverage` says what they are worth
// (93.75 % of five runs, 50 % of two).

#include <vector>

namespace coldstart {

struct Interval {
  double low = 0, high = 0;
  double coverage = 0;  ///< probability that the true median is in it
};

struct Summary {
  double min = 0, median = 0, mean = 0, stddev = 0, max = 0;
  Interval interval;  ///< of the median
};

/// Of at least one value; the standard deviation is the sample's (n - 1), 0 for one value.
Summary summarize(std::vector<double> values);

/// The summary of the ratios value[i] / baseline[i] of paired runs. Noise that hits both of a pair cancels
/// out, which a ratio of medians does not give. Both must have the same, non-zero length.
Summary paired_ratio(const std::vector<double>& values, const std::vector<double>& baseline);

/// True if some value lies further than three scaled median absolute deviations from the median: the
/// runs were disturbed. Needs at least 4 values to say so.
bool has_outliers(std::vector<double> values);

}  // namespace coldstart
