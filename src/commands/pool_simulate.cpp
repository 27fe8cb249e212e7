// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "commands/pool_commands.h"
#include "core/base/files.h"
#include "core/pool/simulation.h"
#include "core/pool/simulation_plot.h"

namespace coldstart {

namespace {

struct Options {
  std::string trace, generate = "poisson";
  double rate = 0.1;
  size_t count = 100000;
  std::vector<std::string> policies;
  std::string start = "60", refill, service = "300";
  std::string svg;
  SimulationOptions simulation;
};

Arrivals arrivals_of(const Options& options) {
  if (!options.trace.empty()) return read_arrivals(options.trace);
  Random random(options.simulation.seed);
  return make_arrivals(arrival_kind(options.generate), options.rate, options.count, random);
}

std::vector<PolicyKind> policies_of(const Options& options) {
  if (options.policies.empty()) return {std::begin(all_policies), std::end(all_policies)};
  std::vector<PolicyKind> result;
  for (const std::string& word : options.policies) result.push_back(policy_kind(word));
  return result;
}

void show(Console& console, const std::vector<PolicyResult>& results) {
  std::vector<std::vector<std::string>> rows;
  rows.reserve(results.size());
  for (const PolicyResult& r : results)
    rows.push_back({to_text(r.policy), fmt::format("{:.2f} %", r.hit_rate * 100), human_seconds(r.start_p50),
                    human_seconds(r.start_p99), fmt::format("{:.1f} %", r.utilisation * 100),
                    fmt::format("{:.4g}", r.cost)});
  console.table({"POLICY", ">HIT RATE", ">START P50", ">START P99", ">UTILISATION", ">COST"}, rows);
}

void simulate_pool(Session& session, Options options) {
  SimulationOptions& simulation = options.simulation;
  simulation.start = Durations::parse(options.start);
  simulation.refill = Durations::parse(options.refill.empty() ? options.start : options.refill);
  simulation.service = Durations::parse(options.service);
  const std::vector<PolicyKind> policies = policies_of(options);
  const Arrivals arrivals = arrivals_of(options);
  std::vector<PolicyResult> results;
  OrderedJson list = OrderedJson::array();
  for (const PolicyKind policy : policies) {
    results.push_back(simulate(arrivals, policy, simulation, session.cancel));
    list.push_back(to_json(results.back()));
  }
  const std::string what = fmt::format(
      "{} arrivals ({}), {} to start, {} of service, {} host{}", arrivals.size(),
      options.trace.empty() ? fmt::format("{}, {:g}/s", options.generate, options.rate) : options.trace,
      human_seconds(simulation.start.mean()), human_seconds(simulation.service.mean()), simulation.hosts,
      simulation.hosts == 1 ? "" : "s");
  show(session.console, results);
  session.console.line(what);
  session.console.result({{"arrivals", arrivals.size()},
                          {"seconds", arrivals.back()},
                          {"hosts", simulation.hosts},
                          {"policies", list}});
  if (!options.svg.empty())
    write_file_atomic(options.svg, as_bytes(plot_simulation(arrivals, results, what)), 0644);
}

void add_arrivals(CLI::App& command, Options& options) {
  auto* trace = command.add_option("--trace", options.trace,
                                   "File of arrivals: seconds or dates, one a line or the column of a CSV");
  trace->type_name("FILE");
  command.add_option("--generate", options.generate, "Make them up: steady, poisson, daily, bursty or spike")
      ->type_name("KIND")
      ->excludes(trace)
      ->capture_default_str();
  command.add_option("--rate", options.rate, "Made up: how many a second, on average")
      ->type_name("N")
      ->check(CLI::Range(1e-9, 1e9))
      ->excludes(trace)
      ->capture_default_str();
  command.add_option("--count", options.count, "Made up: how many")
      ->type_name("N")
      ->check(CLI::Range(1, 100'000'000))
      ->excludes(trace)
      ->capture_default_str();
  command.add_option("--seed", options.simulation.seed, "Of all that is random")
      ->type_name("N")
      ->capture_default_str();
}

void add_durations(CLI::App& command, Options& options) {
  command
      .add_option("--start-seconds", options.start,
                  "What a cold start takes: seconds, exp:MEAN, uniform:LOW:HIGH, lognormal:MEDIAN:SIGMA, or "
                  "@BENCH.json[:NAME]")
      ->type_name("TIME")
      ->capture_default_str();
  command.add_option("--refill-seconds", options.refill, "What making a slot takes (default: a cold start)")
      ->type_name("TIME");
  command.add_option("--service-seconds", options.service, "How long an arrival keeps what it got")
      ->type_name("TIME")
      ->capture_default_str();
  command.add_option("--claim-seconds", options.simulation.claim, "What a start from an idle slot takes")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void add_policies(CLI::App& command, Options& options) {
  SimulationOptions& simulation = options.simulation;
  command
      .add_option("--policy", options.policies,
                  "none, fixed, target, reactive or oracle (repeatable; default: all)")
      ->type_name("POLICY")
      ->take_all()
      ->allow_extra_args(false);
  command.add_option("--idle", simulation.idle, "Policy fixed: idle slots, a host")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command.add_option("--target-hit-rate", simulation.target_hit_rate, "Policy target: the hit rate to reach")
      ->type_name("P")
      ->check(CLI::Range(0.0, 0.999999))
      ->capture_default_str();
  command.add_option("--max", simulation.max_idle, "Policies target and reactive: most idle slots, a host")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command.add_option("--hosts", simulation.hosts, "Hosts, each with a pool of its own")
      ->type_name("N")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command
      .add_option("--host-slots", simulation.host_slots,
                  "Slots that a host can hold, idle or serving (0: any number)")
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--price", simulation.price, "Of one slot for an hour")
      ->type_name("PRICE")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

}  // namespace

void add_pool_simulate(CLI::App& pool, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = pool.add_subcommand("simulate", "Play sizing policies against a trace of arrivals");
  command->footer(
      "Examples:\n"
      "  coldstart pool simulate --rate 0.1 --idle 5 --refill-seconds 10\n"
      "  coldstart pool simulate --trace starts.csv --start-seconds @bench.json:plain --export-svg pool.svg");
  add_arrivals(*command, *options);
  add_durations(*command, *options);
  add_policies(*command, *options);
  command->add_option("--export-svg", options->svg, "Draw it")->type_name("FILE");
  command->callback([&session, options] { simulate_pool(session, *options); });
}

}  // namespace coldstart
