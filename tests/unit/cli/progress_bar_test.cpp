// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.h"

#include <sstream>

#include <doctest/doctest.h>

using namespace coldstart;

TEST_CASE("a task of known size shows part, bytes, rate and time left") {
  const std::string text = ProgressBar::text({"packing", "", Progress::Unit::bytes, 4'000'000, 1'000'000}, 2);
  CHECK(text == "packing  [######..................]  25 %  1.0 MB  500 kB/s  6 s left");
}

TEST_CASE("a task of unknown size shows how long it takes, then bytes and rate") {
  CHECK(ProgressBar::text({"starting", "ready", Progress::Unit::steps, 0, 0}, 12) == "starting  ready  12 s");
  CHECK(ProgressBar::text({"packing", "", Progress::Unit::bytes, 0, 3'000'000}, 3) ==
        "packing  3.0 MB  1.0 MB/s");
}

TEST_CASE("steps are counted") {
  CHECK(ProgressBar::text({"memory", "criu", Progress::Unit::steps, 8, 2}, 600) ==
        "memory  [######..................]  25 %  2 of 8  30 min left  criu");
}

TEST_CASE("a short task is never shown; the end of one wipes it out") {
  std::ostringstream terminal;
  {
    ProgressBar bar(terminal);
    bar.begin("short", 10);
    bar.advance(10);
    bar.end();
    bar.end();
    CHECK(terminal.str().empty());
  }
}
