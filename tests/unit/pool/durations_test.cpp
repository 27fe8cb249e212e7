// SPDX-License-Identifier: Apache-2.0
#include "core/pool/durations.h"

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/base/files.h"

using namespace coldstart;

namespace {

double mean_of_samples(const Durations& durations) {
  Random random(3);
  double sum = 0;
  for (int i = 0; i < 200000; ++i) sum += durations.sample(random);
  return sum / 200000;
}

}  // namespace

TEST_CASE("each distribution has the mean that it says") {
  for (const auto* text : {"10", "exp:10", "uniform:5:15", "lognormal:9:0.5", "0"}) {
    INFO(text);
    const Durations durations = Durations::parse(text);
    CHECK(mean_of_samples(durations) == doctest::Approx(durations.mean()).epsilon(0.02));
  }
  CHECK(Durations::parse("uniform:5:15").mean() == 10);
}

TEST_CASE("durations come from the runs of a bench") {
  const TempDir folder;
  const std::string file = folder.path() / "bench.json";
  write_file_atomic(
      file, as_bytes(R"({"results": [{"name": "plain", "runs": [4, 6]}, {"name": "ours", "runs": [1]}]})"));
  CHECK(Durations::parse("@" + file + ":plain").mean() == 5);
  CHECK(Durations::parse("@" + file).mean() == doctest::Approx(11.0 / 3));
  CHECK_THROWS_AS(Durations::parse("@" + file + ":other"), Error);
}

TEST_CASE("words that are no duration") {
  for (const auto* text :
       {"", "x", "-1", "exp", "exp:", "exp:1:2", "uniform:2:1", "nan", "inf", "1 ", "@/nowhere.json"}) {
    INFO(text);
    CHECK_THROWS_AS(Durations::parse(text), Error);
  }
}
