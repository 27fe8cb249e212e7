// SPDX-License-Identifier: Apache-2.0
#include "core/bench/statistics.h"

#include <cstddef>
#include <numeric>

#include <doctest/doctest.h>

using namespace coldstart;

namespace {

std::vector<double> one_to(int n) {
  std::vector<double> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), 1.0);
  return values;
}

}  // namespace

TEST_CASE("a summary of known values") {
  const Summary s = summarize({4, 1, 3, 2});
  CHECK(s.min == 1);
  CHECK(s.median == 2.5);
  CHECK(s.mean == 2.5);
  CHECK(s.max == 4);
  CHECK(s.stddev == doctest::Approx(1.29099));
  CHECK(summarize({7}).stddev == 0);
}

TEST_CASE("the interval of a median: order statistics as in published tables") {
  // The ranks of a 95 % interval of the median, as tables of the sign test have them.
  struct Known {
    int runs;
    double low, high, coverage;
  };
  for (const Known& k :
       {Known{6, 1, 6, 0.96875}, Known{8, 1, 8, 0.9921875}, Known{9, 2, 8, 0.9609375},
        Known{10, 2, 9, 0.978515625}, Known{12, 3, 10, 0.961425781}, Known{20, 6, 15, 0.958610535},
        Known{50, 18, 33, 0.9671609}, Known{100, 40, 61, 0.9647998}}) {
    CAPTURE(k.runs);
    const Interval interval = summarize(one_to(k.runs)).interval;
    CHECK(interval.low == k.low);
    CHECK(interval.high == k.high);
    CHECK(interval.coverage == doctest::Approx(k.coverage).epsilon(1e-6));
  }
}

TEST_CASE("too few runs for 95 %: all of them, and what that is worth") {
  const Interval five = summarize(one_to(5)).interval;
  CHECK(five.low == 1);
  CHECK(five.high == 5);
  CHECK(five.coverage == doctest::Approx(0.9375));
  CHECK(summarize({3, 4}).interval.coverage == doctest::Approx(0.5));
  const Interval one = summarize({7}).interval;
  CHECK(one.low == 7);
  CHECK(one.high == 7);
  CHECK(one.coverage == doctest::Approx(0));
}

TEST_CASE("an interval of a thousand runs is no underflow") {
  const Interval interval = summarize(one_to(1000)).interval;
  CHECK(interval.low == 469);
  CHECK(interval.high == 532);
}

TEST_CASE("a paired ratio cancels what hits both of a pair") {
  const Summary ratio = paired_ratio({1, 10, 2}, {2, 20, 4});
  CHECK(ratio.median == 0.5);
  CHECK(ratio.min == 0.5);
  CHECK(ratio.max == 0.5);
}

TEST_CASE("one run far off is an outlier; an even spread is none") {
  CHECK(has_outliers({1.0, 1.01, 0.99, 1.0, 3.0}));
  CHECK_FALSE(has_outliers({1.0, 1.01, 0.99, 1.02, 0.98}));
  CHECK_FALSE(has_outliers({1.0, 9.0}));
}
