// SPDX-License-Identifier: Apache-2.0
// The simulator against queueing theory, and the policies against each other.
#include "core/pool/simulation.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/pool/simulation_plot.h"
#include "core/pool/sizing.h"

using namespace coldstart;

namespace {

CancelToken never;

Arrivals made(ArrivalKind kind, double rate, size_t count) {
  Random random(42);
  return make_arrivals(kind, rate, count, random);
}

PolicyResult fixed(const Arrivals& arrivals, size_t idle, const char* refill) {
  SimulationOptions options;
  options.idle = idle;
  options.refill = Durations::parse(refill);
  options.start = Durations::parse("100");
  return simulate(arrivals, PolicyKind::fixed, options, never);
}

}  // namespace

TEST_CASE("fixed slots under Poisson arrivals miss as Erlang B says, however long a refill varies") {
  struct Point {
    double rate;
    size_t idle;
  };
  for (const Point& at : {Point{0.1, 5}, Point{0.1, 2}, Point{0.5, 8}, Point{2, 25}, Point{0.02, 1}})
    for (const char* refill : {"10", "exp:10", "uniform:0:20", "lognormal:8.8249690258:0.5"}) {
      INFO(at.rate, " arrivals a second, ", at.idle, " slots, refill ", refill);
      const Arrivals arrivals = made(ArrivalKind::poisson, at.rate, 1'000'000);
      const double expected = erlang_b(static_cast<double>(at.idle), at.rate * 10);
      const double missed = 1 - fixed(arrivals, at.idle, refill).hit_rate;
      // Four standard errors, with room for misses that come in clumps.
      const double noise = 4 * std::sqrt(3 * expected / 1e6);
      CHECK(std::abs(missed - expected) < noise);
    }
}

TEST_CASE("evenly spaced arrivals need no more slots than come in one refill") {
  const Arrivals arrivals = made(ArrivalKind::steady, 0.5, 10000);
  CHECK(fixed(arrivals, 6, "10").hit_rate == 1);
  CHECK(fixed(arrivals, 4, "10").hit_rate == doctest::Approx(0.8).epsilon(0.01));
}

TEST_CASE("no pool is always cold; the oracle never, and pays least of those that never are") {
  SimulationOptions options;
  options.start = options.refill = Durations::constant(60);
  options.service = Durations::constant(300);
  options.idle = 1000;
  const Arrivals arrivals = made(ArrivalKind::poisson, 0.5, 50000);
  const PolicyResult none = simulate(arrivals, PolicyKind::none, options, never);
  CHECK(none.hit_rate == 0);
  CHECK(none.start_p50 == doctest::Approx(60));
  CHECK(none.utilisation == doctest::Approx(300.0 / 360).epsilon(0.001));
  CHECK(none.cost == doctest::Approx(50000 * 360 / 3600.0).epsilon(0.001));
  const PolicyResult oracle = simulate(arrivals, PolicyKind::oracle, options, never);
  CHECK(oracle.hit_rate == 1);
  CHECK(oracle.start_p99 == doctest::Approx(0.005));
  const PolicyResult much = simulate(arrivals, PolicyKind::fixed, options, never);
  CHECK(much.hit_rate == 1);
  CHECK(oracle.cost < much.cost);
  CHECK(oracle.utilisation == doctest::Approx(none.utilisation).epsilon(0.001));
}

TEST_CASE(
    "the target is reached, whatever the arrivals' shape, with fewer slots than a fixed pool that does") {
  SimulationOptions options;
  options.start = options.refill = Durations::constant(20);
  options.service = Durations::constant(100);
  options.target_hit_rate = 0.95;
  for (const auto kind : {ArrivalKind::poisson, ArrivalKind::daily}) {
    const Arrivals arrivals = made(kind, 0.5, 200000);
    const PolicyResult target = simulate(arrivals, PolicyKind::target, options, never);
    CHECK(target.hit_rate >= 0.95);
    CHECK(target.hit_rate < 0.9999);
  }
  const Arrivals daily = made(ArrivalKind::daily, 0.5, 200000);
  options.idle = 27;
  CHECK(simulate(daily, PolicyKind::fixed, options, never).hit_rate < 0.999);
  CHECK(simulate(daily, PolicyKind::target, options, never).utilisation >
        simulate(daily, PolicyKind::fixed, options, never).utilisation);
}

TEST_CASE("usual autoscaling follows the load, and is late in a spike") {
  SimulationOptions options;
  const Arrivals arrivals = made(ArrivalKind::spike, 0.5, 50000);
  const PolicyResult reactive = simulate(arrivals, PolicyKind::reactive, options, never);
  CHECK(reactive.hit_rate > 0.5);
  CHECK(reactive.hit_rate < 1);
  CHECK(reactive.start_p99 >= 60);
}

TEST_CASE("full hosts make arrivals wait, and nobody is lost") {
  SimulationOptions options;
  options.hosts = 2;
  options.host_slots = 10;
  options.start = options.refill = Durations::constant(10);
  options.service = Durations::constant(100);
  const Arrivals arrivals = made(ArrivalKind::poisson, 0.15, 20000);
  const PolicyResult none = simulate(arrivals, PolicyKind::none, options, never);
  CHECK(none.start_p99 > 20);
  options.host_slots = 100;
  CHECK(simulate(arrivals, PolicyKind::none, options, never).start_p99 == doctest::Approx(10));
  // Twenty places can serve no more than twenty at once.
  for (const double slots : none.capacity) CHECK(slots <= 20.001);
}

TEST_CASE("one pool needs fewer slots than many small ones") {
  SimulationOptions one, four;
  one.idle = 8;
  four.idle = 2;
  four.hosts = 4;
  one.refill = four.refill = Durations::constant(10);
  const Arrivals arrivals = made(ArrivalKind::poisson, 0.5, 100000);
  // With a router that knows who has idle slots they are as good as one.
  CHECK(simulate(arrivals, PolicyKind::fixed, four, never).hit_rate ==
        doctest::Approx(simulate(arrivals, PolicyKind::fixed, one, never).hit_rate).epsilon(0.001));
}

TEST_CASE("a simulation can be cancelled, and is the same each time") {
  const Arrivals arrivals = made(ArrivalKind::bursty, 1, 1000);
  SimulationOptions options;
  options.service = Durations::parse("exp:50");
  CHECK(to_json(simulate(arrivals, PolicyKind::target, options, never)) ==
        to_json(simulate(arrivals, PolicyKind::target, options, never)));
  CancelToken cancelled;
  cancelled.cancel();
  CHECK_THROWS_AS(simulate(arrivals, PolicyKind::target, options, cancelled), Error);
}

TEST_CASE("one arrival is enough") {
  SimulationOptions options;
  for (const PolicyKind policy : all_policies) {
    const PolicyResult r = simulate({0}, policy, options, never);
    CHECK(r.start_p50 >= 0);
    CHECK(std::isfinite(r.utilisation));
    CHECK(plot_simulation({0}, {r}, "a < b & c").find("nan") == std::string::npos);
  }
}
