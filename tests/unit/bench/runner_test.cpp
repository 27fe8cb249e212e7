// SPDX-License-Identifier: Apache-2.0
#include "core/bench/runner.h"

#include <doctest/doctest.h>

#include "core/base/error.h"

using namespace coldstart;

namespace {

/// Remembers what it is told.
struct Watcher final : Progress {
  using Progress::begin;
  void begin(std::string_view task, uint64_t total, Unit unit) override {
    name = task;
    steps = unit == Unit::steps ? total : 0;
  }
  void advance(uint64_t amount) override { done += amount; }
  void detail(std::string_view) override {}
  void end() override { ended = true; }
  std::string name;
  uint64_t steps = 0, done = 0;
  bool ended = false;
};

struct Fixture {
  CancelToken cancel;
  Watcher progress;
  Timeline timeline;
  Operation op{cancel, progress, timeline};
  std::string order;

  Case fixed(const std::string& name, std::vector<double> times) {
    Case one{name, false, [this, name, times, i = size_t{0}]() mutable {
               order += name;
               return Run{times.at(i++), {{"stage" + std::to_string(i), 0, 0, {}}}};
             }};
    one.set_up = [this] { order += '('; };
    one.tear_down = [this] { order += ')'; };
    return one;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "rounds interleave the cases, every other one backwards; warm-ups do not count") {
  const std::vector<Series> series =
      run_paired("what", {fixed("a", {9, 1, 2}), fixed("b", {9, 3, 4})}, {2, 1, false}, op);
  CHECK(order == "(a)(b)(b)(a)(a)(b)");
  REQUIRE(series.size() == 2);
  CHECK(series[0].name == "a");
  CHECK(series[0].seconds == std::vector<double>{1, 2});
  CHECK(series[1].seconds == std::vector<double>{3, 4});
  CHECK(progress.name == "what");
  CHECK(progress.steps == 6);
  CHECK(progress.done == 6);
  CHECK(progress.ended);
}

TEST_CASE_FIXTURE(Fixture, "the stages that are kept are those of the median run") {
  const std::vector<Series> series = run_paired("", {fixed("a", {5, 1, 3})}, {3, 0, false}, op);
  REQUIRE(series[0].stages.size() == 1);
  CHECK(series[0].stages[0].name == "stage3");
}

TEST_CASE_FIXTURE(Fixture, "a run that fails is torn down, and ends the bench with its error") {
  Case bad = fixed("a", {1});
  bad.run = []() -> Run { throw Error("broken"); };
  CHECK_THROWS_WITH(run_paired("", {bad}, {1, 0, false}, op), "broken");
  CHECK(order == "()");
  CHECK(progress.ended);
}

TEST_CASE_FIXTURE(Fixture, "a cancelled bench starts no further run") {
  Case first = fixed("a", {1, 1});
  first.run = [this] {
    cancel.cancel();
    return Run{1, {}};
  };
  CHECK_THROWS_AS(run_paired("", {first, fixed("b", {1, 1})}, {1, 0, false}, op), Error);
  CHECK(order == "()");
}
