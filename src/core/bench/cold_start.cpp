// SPDX-License-Identifier: Apache-2.0
#include "core/bench/cold_start.h"

#include <algorithm>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "core/pipeline/restore.h"
#include "core/pipeline/snapshot.h"

namespace coldstart {

namespace {

using Clock = std::chrono::steady_clock;

/// The snapshot's program, started as `run` does.
ReplicaSpec plain_spec(Store& store, const Digest& snapshot, const RestoreRequest& request) {
  ReplicaSpec spec = restore_spec(store, snapshot, request);
  spec.launch = {{"kind", "program"}};
  return spec;
}

void drop_kernel_caches() {
  ::sync();
  const Fd fd = open_file("/proc/sys/vm/drop_caches", O_WRONLY);
  write_full(fd.get(), as_bytes("3"));
}

/// Waits a little, or until cancelled.
void pause(std::chrono::milliseconds time, const CancelToken& cancel) {
  pollfd p{cancel.fd(), POLLIN, 0};
  if (::poll(&p, 1, static_cast<int>(time.count())) < 0 && errno != EINTR) throw Error::sys("cannot wait");
  cancel.check();
}

/// Asks until there is an answer; a server that ends meanwhile is an error.
std::string first_answer(ReplicaFront& front, const ReplicaSpec& spec, const ColdStartOptions& options,
                         Clock::time_point start, Operation& op) {
  auto between = std::chrono::milliseconds(2);
  Answer answer;
  while (Clock::now() - start < options.timeout) {
    answer = ask(options.request, {front.pid(), spec.program.environment}, options.timeout, op.cancel);
    if (answer.ok) return std::move(answer.body);
    pause(between, op.cancel);
    between = std::min(between * 2, std::chrono::milliseconds(20));
  }
  throw Error(fmt::format("no answer to '{}' within {} s: {}", options.request.text,
                          options.timeout.count() / 1000, answer.reason));
}

/// One way to start.
struct Contestant {
  ColdStartSeries series;
  std::function<ReplicaSpec()> spec;
};

class Bench {
 public:
  Bench(std::shared_ptr<Store> store, Replicas& replicas, const Digest& snapshot,
        const ColdStartOptions& options, Operation& op)
      : store_(std::move(store)), replicas_(replicas), snapshot_(snapshot), options_(options), op_(op) {
    const auto request = [&](const std::string& memory) {
      RestoreRequest r;
      r.source = options_.snapshot;
      r.memory = memory;
      r.net = options_.net;
      r.binds = options_.binds;
      r.ready = Readiness();  // the first answer is the readiness that counts
      return r;
    };
    contestants_.push_back(
        {{"plain", {}, {}}, [=, this] { return plain_spec(*store_, snapshot_, request("auto")); }});
    contestants_.push_back(
        {{"criu", {}, {}}, [=, this] { return restore_spec(*store_, snapshot_, request("eager")); }});
    contestants_.push_back({{"coldstart", {}, {}}, [=, this] {
                              return restore_spec(*store_, snapshot_, request(options_.memory));
                            }});
  }

  ColdStartReport run() {
    for (unsigned i = 0; i < options_.warmups + options_.runs; ++i)
      for (Contestant& c : contestants_) {
        op_.progress.begin(
            fmt::format("run {} of {}: {}", i + 1, options_.warmups + options_.runs, c.series.name), 0);
        const double seconds = one(c);
        op_.progress.end();
        if (i >= options_.warmups) c.series.seconds.push_back(seconds);
      }
    ColdStartReport report;
    for (Contestant& c : contestants_) report.series.push_back(std::move(c.series));
    report.answer = *answer_;
    return report;
  }

 private:
  double one(Contestant& contestant) {
    if (options_.drop_caches) drop_kernel_caches();
    Chain chain(op_);
    ReplicaSpec spec = contestant.spec();
    const auto start = Clock::now();
    ReplicaFront front(replicas_, spec);
    wait_ready(front, chain, op_);
    const Digest answer = Digest::of(as_bytes(first_answer(front, spec, options_, start, op_)));
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (!answer_) answer_ = answer;
    if (answer != *answer_)
      throw Error(fmt::format("'{}' answered differently than the plain start did: {}, not {}",
                              contestant.series.name, answer.text(), answer_->text()),
                  "is the answer to this request the same every time? Choose another with --request");
    contestant.series.stages = chain.times();
    return seconds;
  }

  const std::shared_ptr<Store> store_;
  Replicas& replicas_;
  const Digest snapshot_;
  const ColdStartOptions& options_;
  Operation& op_;
  std::vector<Contestant> contestants_;
  std::optional<Digest> answer_;
};

}  // namespace

ColdStartReport bench_cold_start(const std::shared_ptr<Store>& store, Replicas& replicas,
                                 const Digest& snapshot, const ColdStartOptions& options, Operation& op) {
  return Bench(store, replicas, snapshot, options, op).run();
}

double ColdStartReport::ratio(const std::string& name, const std::string& baseline) const {
  const auto find = [&](const std::string& wanted) -> const std::vector<double>& {
    return std::find_if(series.begin(), series.end(), [&](const auto& s) { return s.name == wanted; })
        ->seconds;
  };
  return paired_ratio(find(name), find(baseline));
}

OrderedJson to_json(const ColdStartReport& report) {
  OrderedJson results = OrderedJson::array();
  for (const ColdStartSeries& s : report.series) {
    const Summary summary = summarize(s.seconds);
    results.push_back({{"name", s.name},
                       {"seconds",
                        {{"min", summary.min},
                         {"median", summary.median},
                         {"mean", summary.mean},
                         {"stddev", summary.stddev},
                         {"max", summary.max}}},
                       {"runs", s.seconds},
                       {"stages", to_json(s.stages)}});
  }
  return {{"results", results},
          {"ratios",
           {{"coldstart/plain", report.ratio("coldstart", "plain")},
            {"coldstart/criu", report.ratio("coldstart", "criu")}}},
          {"answer", report.answer.text()}};
}

std::string to_markdown(const ColdStartReport& report) {
  std::string text =
      "| start | median s | min | max | runs | of plain |\n"
      "|---|---:|---:|---:|---:|---:|\n";
  for (const ColdStartSeries& s : report.series) {
    const Summary summary = summarize(s.seconds);
    text += fmt::format("| {} | {:.3f} | {:.3f} | {:.3f} | {} | {:.2f}x |\n", s.name, summary.median,
                        summary.min, summary.max, s.seconds.size(), report.ratio(s.name, "plain"));
  }
  return text;
}

}  // namespace coldstart
