// SPDX-License-Identifier: Apache-2.0
#include "core/bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coldstart {

namespace {

double median_of(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// P(B(n, 1/2) = k), by logarithms: 2^-n of many runs is too small for a double.
double binomial_half(double n, double k) {
  return std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) - n * std::log(2.0));
}

Interval median_interval(const std::vector<double>& sorted) {
  constexpr double wanted = 0.95;
  const auto n = static_cast<double>(sorted.size());
  Interval best{sorted.front(), sorted.back(), 1 - 2 * binomial_half(n, 0)};
  double outside = 2 * binomial_half(n, 0);
  for (size_t k = 1; 2 * k < sorted.size(); ++k) {
    outside += 2 * binomial_half(n, static_cast<double>(k));
    if (1 - outside < wanted) break;
    best = {sorted[k], sorted[sorted.size() - 1 - k], 1 - outside};
  }
  return best;
}

}  // namespace

Summary summarize(std::vector<double> values) {
  Summary s;
  const auto n = static_cast<double>(values.size());
  s.median = median_of(values);
  s.interval = median_interval(values);
  s.min = values.front();
  s.max = values.back();
  s.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double v : values) squares += (v - s.mean) * (v - s.mean);
  s.stddev = values.size() > 1 ? std::sqrt(squares / (n - 1)) : 0;
  return s;
}

Summary paired_ratio(const std::vector<double>& values, const std::vector<double>& baseline) {
  std::vector<double> ratios;
  for (size_t i = 0; i < values.size(); ++i) ratios.push_back(values[i] / baseline[i]);
  return summarize(std::move(ratios));
}

bool has_outliers(std::vector<double> values) {
  if (values.size() < 4) return false;
  const double middle = median_of(values);
  std::vector<double> distances;
  distances.reserve(values.size());
  for (const double v : values) distances.push_back(std::abs(v - middle));
  const double farthest = *std::max_element(distances.begin(), distances.end());
  constexpr double to_sigma = 1.4826;  // of a normal distribution
  return farthest > 3 * to_sigma * median_of(distances) && farthest > 0.05 * middle;
}

}  // namespace coldstart
