// SPDX-License-Identifier: Apache-2.0
#include "core/pool/sizing.h"

#include <cmath>
#include <initializer_list>

#include <doctest/doctest.h>

using namespace coldstart;

TEST_CASE("Erlang's formula B gives what its tables have") {
  CHECK(erlang_b(5, 1) == doctest::Approx(0.003067).epsilon(1e-3));
  CHECK(erlang_b(0, 3) == 1);
  CHECK(erlang_b(1, 1) == doctest::Approx(0.5));
  CHECK(erlang_b(10, 4.461) == doctest::Approx(0.01).epsilon(1e-3));
  CHECK(erlang_b(100, 84.06) == doctest::Approx(0.01).epsilon(1e-2));
  CHECK(erlang_b(7, 0) == 0);
  // Between whole numbers of lines it lies between their values.
  CHECK(erlang_b(5.5, 1) < erlang_b(5, 1));
  CHECK(erlang_b(5.5, 1) > erlang_b(6, 1));
}

TEST_CASE("as many slots as the hit rate needs, and not one more") {
  for (const double mean : {0.05, 1.0, 7.0, 60.0})
    for (const double target : {0.5, 0.9, 0.99, 0.999}) {
      const size_t n = slots_for({mean, 1}, target, 1000);
      CHECK(erlang_b(static_cast<double>(n), mean) <= 1 - target);
      if (n > 0) CHECK(erlang_b(static_cast<double>(n - 1), mean) > 1 - target);
    }
  CHECK(slots_for({1, 1}, 0.99, 1000) == 5);
  CHECK(slots_for({60, 1}, 0.999, 10) == 10);
  CHECK(slots_for({0, 1}, 0.99, 10) == 0);
  for (const double z : {1.5, 4.0, 20.0}) {
    const size_t n = slots_for({30, z}, 0.99, 1000);
    CHECK(erlang_b(static_cast<double>(n) / z, 30 / z) <= 0.01);
    CHECK(erlang_b(static_cast<double>(n - 1) / z, 30 / z) > 0.01);
  }
  CHECK(slots_for({5, 4}, 0.99, 1000) > slots_for({5, 1}, 0.99, 1000));
}

TEST_CASE("the forecast finds the rate, at once when it rises, later when it falls") {
  LoadForecast forecast(10);
  double now = 0;
  const auto steady = [&](double gap, double until) {
    for (; now < until; now += gap) forecast.claimed(now);
  };
  steady(2, 1000);
  CHECK(forecast.at(now).mean == doctest::Approx(5).epsilon(0.05));
  CHECK(forecast.at(now).peakedness == doctest::Approx(1));
  steady(0.5, 1060);
  CHECK(forecast.at(now).mean > 15);
  now += 60;
  CHECK(forecast.at(now).mean > 3);
  now += 1e9;
  CHECK(forecast.at(now).mean < 0.01);
}

TEST_CASE("claims that come in bursts are more peaked") {
  LoadForecast forecast(10);
  for (double now = 0; now < 3000; now += 100)
    for (int i = 0; i < 50; ++i) forecast.claimed(now + i * 0.01);
  CHECK(forecast.at(3000).peakedness > 10);
}

TEST_CASE("a forecast in other windows is of the same rate") {
  LoadForecast forecast(10);
  for (double now = 0; now < 1000; now += 1) forecast.claimed(now);
  forecast.set_window(20);
  CHECK(forecast.at(1000).mean == doctest::Approx(20).epsilon(0.05));
}
