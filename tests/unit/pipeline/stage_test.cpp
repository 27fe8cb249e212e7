// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/stage.h"

#include <doctest/doctest.h>

using namespace coldstart;

namespace {
struct Fixture {
  CancelToken cancel;
  NoProgress progress;
  Timeline timeline;
  Operation op{cancel, progress, timeline};
};
}  // namespace

TEST_CASE_FIXTURE(Fixture, "a chain times its stages in order and puts them on the timeline") {
  Chain chain(op);
  chain.stage("one", [](StageTime& s) { s.bytes = 42; });
  chain.add({"two", 0.5, 7}, Timeline::Clock::now());
  REQUIRE(chain.times().size() == 2);
  CHECK(chain.times()[0].bytes == 42);
  CHECK(chain.times()[1].name == "two");
  CHECK(chain.seconds() >= 0.5);
  REQUIRE(timeline.records().size() == 2);
  CHECK(timeline.records()[0].args["bytes"] == 42);
  CHECK(timeline.records()[1].args["bytes"] == 7);
  CHECK(to_json(chain.times()).dump().find(R"("name":"one")") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "a stage that fails is on the timeline but not in the times") {
  Chain chain(op);
  CHECK_THROWS_AS(chain.stage("bad", [](StageTime&) { throw Error("no"); }), Error);
  CHECK(chain.times().empty());
  CHECK(timeline.records().size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "no stage starts after cancellation") {
  cancel.cancel(2);
  Chain chain(op);
  bool ran = false;
  CHECK_THROWS_AS(chain.stage("late", [&](StageTime&) { ran = true; }), Error);
  CHECK_FALSE(ran);
}

TEST_CASE_FIXTURE(Fixture, "the trace is what Perfetto reads") {
  { auto span = timeline.span("load"); }
  const Json trace = timeline.chrome_trace();
  CHECK(trace["traceEvents"][0]["ph"] == "X");
  CHECK(trace["traceEvents"][0]["name"] == "load");
}
