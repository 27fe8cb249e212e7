// SPDX-License-Identifier: Apache-2.0
#include "core/bench/statistics.h"

#include <doctest/doctest.h>

using namespace coldstart;

TEST_CASE("a summary of known values") {
  const Summary s = summarize({4, 1, 3, 2});
  CHECK(s.min == 1);
  CHECK(s.median == 2.5);
  CHECK(s.mean == 2.5);
  CHECK(s.max == 4);
  CHECK(s.stddev == doctest::Approx(1.29099));
  CHECK(summarize({7}).stddev == 0);
}

TEST_CASE("a paired ratio cancels what hits both of a pair") {
  CHECK(paired_ratio({1, 10, 2}, {2, 20, 4}) == 0.5);
}

TEST_CASE("one run far off is an outlier; an even spread is none") {
  CHECK(has_outliers({1.0, 1.01, 0.99, 1.0, 3.0}));
  CHECK_FALSE(has_outliers({1.0, 1.01, 0.99, 1.02, 0.98}));
  CHECK_FALSE(has_outliers({1.0, 9.0}));
}
