// SPDX-License-Identifier: Apache-2.0
#pragma once
// Playing sizing policies against a trace of arrivals: what each would have given, and cost.
//
// An arrival claims an idle slot if there is one (a hit: it starts within `claim`), else it starts cold,
// beside the pool. A claimed slot serves for a while and is then gone; the policy says how many idle ones
// there should be, and what lacks is made, all at once. With several hosts each has slots and a policy of its
// own, and an arrival goes to the host that has most idle slots. A host that is full makes nothing; if all
// are, the arrival waits for the next that ends.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/pool/arrivals.h"
#include "core/pool/durations.h"

namespace coldstart {

enum class PolicyKind {
  none,      ///< every start is cold
  fixed,     ///< always `idle` slots
  target,    ///< as many as the hit rate asked for needs, by forecast (sizing.h)
  reactive,  ///< as usual autoscalers: replicas are used again, and their number follows how many are busy
  oracle     ///< knows the future: each slot is there in the moment it is needed
};
constexpr PolicyKind all_policies[] = {PolicyKind::none, PolicyKind::fixed, PolicyKind::target,
                                       PolicyKind::reactive, PolicyKind::oracle};
const char* to_text(PolicyKind policy);
PolicyKind policy_kind(std::string_view word);  ///< throws Error::usage

struct SimulationOptions {
  Durations start = Durations::constant(60);     ///< a cold start
  Durations refill = Durations::constant(60);    ///< making a slot
  Durations service = Durations::constant(300);  ///< how long an arrival keeps what it got
  double claim = 0.005;                          ///< seconds from a claim that hits until it runs
  size_t idle = 5;                               ///< policy fixed: slots, a host
  double target_hit_rate = 0.99;                 ///< policy target
  size_t max_idle = 1000;                        ///< policy target, and reactive: at most, a host
  size_t hosts = 1;
  size_t host_slots = 0;  ///< what a host holds, idle or not; 0: no limit
  double price = 1;       ///< of one slot for an hour
  uint64_t seed = 1;
};

/// What a policy came to. Seconds.
struct PolicyResult {
  PolicyKind policy;
  double hit_rate = 0;
  double start_p50 = 0, start_p99 = 0;
  double utilisation = 0;  ///< time that slots served, of all time that they were paid for
  double cost = 0;
  std::vector<double> capacity;  ///< for plots: slots there on average, in each of equal parts of the time
};

/// Plays one policy. Throws Error when cancelled. The same input gives the same result.
PolicyResult simulate(const Arrivals& arrivals, PolicyKind policy, const SimulationOptions& options,
                      const CancelToken& cancel);

OrderedJson to_json(const PolicyResult& result);

}  // namespace coldstart
