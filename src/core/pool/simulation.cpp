// SPDX-License-Identifier: Apache-2.0
#include "core/pool/simulation.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <queue>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/pool/fleet.h"

namespace coldstart {

namespace {

constexpr std::pair<PolicyKind, const char*> names[] = {{PolicyKind::none, "none"},
                                                        {PolicyKind::fixed, "fixed"},
                                                        {PolicyKind::target, "target"},
                                                        {PolicyKind::reactive, "reactive"},
                                                        {PolicyKind::oracle, "oracle"}};
constexpr size_t plot_parts = 240;

// What autoscalers do by default: look every 15 s, aim at 70 % busy, and scale down only to the most that was
// wanted within 5 minutes.
constexpr double look_every = 15, aimed_busy = 0.7, scale_down_after = 300;

/// The highest of the values that came within a time.
class HighestOf {
 public:
  size_t put(double now, size_t value) {
    while (!values_.empty() && values_.back().second <= value) values_.pop_back();
    values_.emplace_back(now, value);
    while (values_.front().first < now - scale_down_after) values_.pop_front();
    return values_.front().second;
  }

 private:
  std::deque<std::pair<double, size_t>> values_;
};

struct Event {
  double time;
  uint32_t host;
  bool made;  // a slot is made; else a service ends
  bool operator>(const Event& other) const { return time > other.time; }
};

class Simulation {
 public:
  Simulation(const Arrivals& arrivals, PolicyKind policy, const SimulationOptions& options,
             const CancelToken& cancel)
      : arrivals_(arrivals),
        policy_(policy),
        o_(options),
        cancel_(cancel),
        random_(options.seed),
        hosts_(options.hosts),
        highest_(options.hosts),
        paid_(arrivals.back(), plot_parts) {
    for (SimulatedHost& host : hosts_) host.forecast = LoadForecast(o_.refill.mean());
    starts_.reserve(arrivals.size());
  }

  PolicyResult run() {
    begin();
    size_t next = 0;
    double look = 0;
    for (;;) {
      const double arrival = next < arrivals_.size() ? arrivals_[next] : HUGE_VAL;
      const double event = events_.empty() ? HUGE_VAL : events_.top().time;
      // Nothing is made any more after the last arrival: what is left only ends.
      if (next == arrivals_.size() && waiting_.empty()) break;
      if (adapts() && look <= std::min(arrival, event)) {
        for (uint32_t h = 0; h < hosts_.size(); ++h) look_at(h, look);
        look += look_every;
      } else if (event <= arrival) {
        happen();
      } else {
        arrive(arrival);
        if (++next % 65536 == 0) cancel_.check();
      }
    }
    finish();
    return result();
  }

 private:
  bool adapts() const { return policy_ == PolicyKind::target || policy_ == PolicyKind::reactive; }
  bool full(const SimulatedHost& host) const { return o_.host_slots != 0 && host.all() >= o_.host_slots; }

  /// The pool is as it would be had it been there for long.
  void begin() {
    if (policy_ != PolicyKind::fixed) return;
    for (SimulatedHost& host : hosts_) {
      host.wanted = o_.idle;
      host.idle = o_.host_slots != 0 ? std::min(o_.idle, o_.host_slots) : o_.idle;
      paid_.change(0, static_cast<long>(host.idle));
    }
  }

  uint32_t choose() const {
    uint32_t best = 0;
    const auto better = [](const SimulatedHost& a, const SimulatedHost& b) {
      return a.idle != b.idle ? a.idle > b.idle : a.all() < b.all();
    };
    for (uint32_t h = 1; h < hosts_.size(); ++h)
      if (better(hosts_[h], hosts_[best])) best = h;
    return best;
  }

  void arrive(double now) {
    const uint32_t h = choose();
    now_ = now;
    hosts_[h].forecast.claimed(now);
    if (hosts_[h].idle > 0) {
      hit(h, now, o_.claim);
    } else if (!full(hosts_[h])) {
      const double start = o_.start.sample(random_);
      ++hosts_[h].busy;
      paid_.change(now, 1);
      serve(h, now, start);
    } else {
      waiting_.push_back(now);
    }
    if (policy_ == PolicyKind::target) want(h, now);
    refill(h, now);
  }

  void hit(uint32_t h, double now, double start) {
    --hosts_[h].idle;
    ++hosts_[h].busy;
    ++hits_;
    serve(h, now, start);
  }

  void serve(uint32_t h, double now, double start) {
    const double service = o_.service.sample(random_);
    starts_.push_back(static_cast<float>(start));
    served_ += service;
    events_.push({now + start + service, h, false});
  }

  /// A slot became free for whoever has waited longest. That is no hit.
  void serve_waiting(uint32_t h, double now, double takes) {
    const double since = waiting_.front();
    waiting_.pop_front();
    ++hosts_[h].busy;
    const double service = o_.service.sample(random_);
    starts_.push_back(static_cast<float>(now - since + takes));
    served_ += service;
    events_.push({now + takes + service, h, false});
  }

  void happen() {
    const Event e = events_.top();
    events_.pop();
    now_ = e.time;
    SimulatedHost& host = hosts_[e.host];
    if (e.made) {
      --host.warming;
      if (!waiting_.empty()) {
        serve_waiting(e.host, e.time, o_.claim);
      } else if (host.surplus > 0) {
        --host.surplus;
        paid_.change(e.time, -1);
      } else {
        ++host.idle;
      }
    } else {
      --host.busy;
      if (policy_ == PolicyKind::reactive && host.idle + host.warming < host.wanted) {
        ++host.idle;
      } else if (!waiting_.empty()) {
        serve_waiting(e.host, e.time, o_.start.sample(random_));
      } else {
        paid_.change(e.time, -1);
      }
      refill(e.host, e.time);
    }
  }

  void refill(uint32_t h, double now) {
    SimulatedHost& host = hosts_[h];
    while (host.idle + host.warming - host.surplus < host.wanted) {
      if (host.surplus > 0) {
        --host.surplus;
        continue;
      }
      if (full(host)) return;
      ++host.warming;
      paid_.change(now, 1);
      events_.push({now + o_.refill.sample(random_), h, true});
    }
  }

  /// Fewer are wanted at once when more are there than the policy wants.
  void shrink(uint32_t h, double now) {
    SimulatedHost& host = hosts_[h];
    while (host.idle + host.warming - host.surplus > host.wanted) {
      if (host.idle > 0) {
        --host.idle;
        paid_.change(now, -1);
      } else {
        ++host.surplus;
      }
    }
  }

  void want(uint32_t h, double now) {
    const Load load = hosts_[h].forecast.at(now);
    hosts_[h].wanted = slots_for(load, o_.target_hit_rate, o_.max_idle);
  }

  void look_at(uint32_t h, double now) {
    SimulatedHost& host = hosts_[h];
    if (policy_ == PolicyKind::target) {
      want(h, now);
    } else {
      const auto all = static_cast<size_t>(std::ceil(static_cast<double>(host.busy) / aimed_busy));
      const size_t all_wanted = highest_[h].put(now, all);
      host.wanted = std::min(all_wanted > host.busy ? all_wanted - host.busy : 0, o_.max_idle);
    }
    shrink(h, now);
    refill(h, now);
  }

  /// What still runs is paid to its end; what is idle or being made, until now.
  void finish() {
    for (SimulatedHost& host : hosts_) paid_.change(now_, -static_cast<long>(host.idle + host.warming));
    for (; !events_.empty(); events_.pop())
      if (!events_.top().made) paid_.change(events_.top().time, -1);
  }

  PolicyResult result() {
    PolicyResult r{policy_};
    r.hit_rate = static_cast<double>(hits_) / static_cast<double>(arrivals_.size());
    r.start_p50 = quantile(0.50);
    r.start_p99 = quantile(0.99);
    r.utilisation = paid_.slot_seconds() > 0 ? served_ / paid_.slot_seconds() : 0;
    r.cost = paid_.slot_seconds() / 3600 * o_.price;
    r.capacity = paid_.averages();
    return r;
  }
  double quantile(double q) {
    const auto rank = static_cast<ptrdiff_t>(std::ceil(q * static_cast<double>(starts_.size())) - 1);
    std::nth_element(starts_.begin(), starts_.begin() + rank, starts_.end());
    return static_cast<double>(starts_[static_cast<size_t>(rank)]);
  }

  const Arrivals& arrivals_;
  const PolicyKind policy_;
  const SimulationOptions& o_;
  const CancelToken& cancel_;
  Random random_;
  std::vector<SimulatedHost> hosts_;
  std::vector<HighestOf> highest_;
  PaidCapacity paid_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::deque<double> waiting_;  // since when
  std::vector<float> starts_;   // how long each took
  double now_ = 0;
  size_t hits_ = 0;
  double served_ = 0;
};

/// Each slot is begun just so early that it is made when its arrival comes.
PolicyResult foresee(const Arrivals& arrivals, const SimulationOptions& o) {
  Random random(o.seed);
  double served = 0;
  std::vector<std::pair<double, int>> changes;
  changes.reserve(arrivals.size() * 2);
  for (const double arrival : arrivals) {
    const double service = o.service.sample(random);
    served += service;
    changes.emplace_back(std::max(0.0, arrival - o.refill.sample(random)), 1);
    changes.emplace_back(arrival + o.claim + service, -1);
  }
  std::sort(changes.begin(), changes.end());
  PaidCapacity paid(arrivals.back(), plot_parts);
  for (const auto& [time, change] : changes) paid.change(time, change);
  return {PolicyKind::oracle,
          1,
          o.claim,
          o.claim,
          paid.slot_seconds() > 0 ? served / paid.slot_seconds() : 0,
          paid.slot_seconds() / 3600 * o.price,
          paid.averages()};
}

}  // namespace

const char* to_text(PolicyKind policy) {
  for (const auto& [kind, name] : names)
    if (kind == policy) return name;
  return "?";
}

PolicyKind policy_kind(std::string_view word) {
  for (const auto& [kind, name] : names)
    if (word == name) return kind;
  throw Error::usage(fmt::format("not a policy: '{}'", word), "none, fixed, target, reactive or oracle");
}

PolicyResult simulate(const Arrivals& arrivals, PolicyKind policy, const SimulationOptions& options,
                      const CancelToken& cancel) {
  cancel.check();
  if (policy == PolicyKind::oracle) return foresee(arrivals, options);
  return Simulation(arrivals, policy, options, cancel).run();
}

OrderedJson to_json(const PolicyResult& result) {
  return {{"name", to_text(result.policy)},    {"hit_rate", result.hit_rate},
          {"start_p50", result.start_p50},     {"start_p99", result.start_p99},
          {"utilisation", result.utilisation}, {"cost", result.cost}};
}

}  // namespace coldstart
