// SPDX-License-Identifier: Apache-2.0
#include "core/pool/arrivals.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "core/base/error.h"

using namespace coldstart;

TEST_CASE("seconds, one a line, in any order") {
  CHECK(parse_arrivals("# a trace\n12.5\n10\n\n11\r\n", "t") == Arrivals{0, 1, 2.5});
}

TEST_CASE("a CSV's column of times") {
  CHECK(parse_arrivals("5,x\n6,y\n", "t") == Arrivals{0, 1});
  CHECK(parse_arrivals("user,timestamp\na,5\nb,9\n", "t") == Arrivals{0, 4});
  CHECK(parse_arrivals("time;n\n5;1\n7;1\n", "t") == Arrivals{0, 2});
}

TEST_CASE("dates and times, with zones") {
  const Arrivals found = parse_arrivals(
      "2026-02-28T23:59:59Z\n2026-03-01 00:00:00.25\n2026-03-01T02:00:01+02:00\n2026-02-28T20:30:02-0330\n",
      "t");
  CHECK(found == Arrivals{0, 1.25, 2, 3});
}

TEST_CASE("what is no time is named with its line") {
  CHECK_THROWS_WITH_AS(parse_arrivals("1\n2\nx\n", "trace.csv"), "trace.csv:3: no time: 'x'", Error);
  for (const char* bad : {"", "# nothing\n", "header\n", "1\nnan\n", "1\n2026-13-01T00:00:00Z\n",
                          "1\n2026-01-01T00:00:00+x\n", "1\n2026-01-01T00:00:00+\n", "1\ninf\n"})
    CHECK_THROWS_AS(parse_arrivals(bad, "t"), Error);
}

TEST_CASE("made-up arrivals ascend and have the rate that was asked for") {
  for (const auto* word : {"steady", "poisson", "daily", "bursty", "spike"}) {
    INFO(word);
    Random random(7);
    const Arrivals made = make_arrivals(arrival_kind(word), 2, 400000, random);
    CHECK(std::is_sorted(made.begin(), made.end()));
    CHECK(static_cast<double>(made.size()) / made.back() == doctest::Approx(2).epsilon(0.08));
  }
  CHECK_THROWS_AS(arrival_kind("weekly"), Error);
}

TEST_CASE("a spike is where it should be") {
  Random random(7);
  const Arrivals made = make_arrivals(ArrivalKind::spike, 2, 100000, random);
  const double middle = made.back() / 2;
  const double width = made.back() / 100;
  const auto within = [&](double from, double to) {
    return std::lower_bound(made.begin(), made.end(), to) - std::lower_bound(made.begin(), made.end(), from);
  };
  CHECK(within(middle - width / 2, middle + width / 2) > 15 * within(width * 10, width * 11));
}
