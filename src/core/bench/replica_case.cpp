// SPDX-License-Identifier: Apache-2.0
#include "core/bench/replica_case.h"

#include <algorithm>

#include <fmt/format.h>
#include <poll.h>

#include "core/base/error.h"

namespace coldstart {

namespace {

using Clock = std::chrono::steady_clock;

double between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Waits a little, or until cancelled.
void pause(std::chrono::milliseconds time, const CancelToken& cancel) {
  pollfd p{cancel.fd(), POLLIN, 0};
  if (::poll(&p, 1, static_cast<int>(time.count())) < 0 && errno != EINTR) throw Error::sys("cannot wait");
  cancel.check();
}

/// The replicas of one run.
class Starting {
 public:
  Starting(const ReplicaCase& what, Replicas& replicas, Operation& op)
      : what_(what), replicas_(replicas), op_(op) {
    for (unsigned i = 0; i < what.replicas; ++i) specs_.push_back(what.spec());
  }

  /// The timed part.
  Run run() {
    begin_ = Clock::now();
    for (ReplicaSpec& spec : specs_) fronts_.emplace_back(replicas_, spec);
    for (size_t i = 0; i < fronts_.size(); ++i) fronts_[i].wait_ready(op_.cancel, sink(i));
    if (!what_.request.text.empty())
      for (size_t i = 0; i < fronts_.size(); ++i) take_answer(i);
    run_.seconds = between(begin_, Clock::now());
    if (!what_.request.text.empty()) note_warm_answer();
    return std::move(run_);
  }

 private:
  /// Stages are those of the first replica; of several, each has about the same.
  StageSink sink(size_t index) {
    if (index > 0) return {};
    return [this](const std::string& name, Clock::time_point start, double seconds, auto bytes) {
      run_.stages.push_back({name, between(begin_, start), seconds, bytes});
    };
  }

  void take_answer(size_t index) {
    const auto ready = Clock::now();
    const auto [body, sent] = first_answer(index);
    if (index == 0) {
      if (between(ready, sent) > 1e-3)  // it did not answer at once
        run_.stages.push_back({"start-up", between(begin_, ready), between(ready, sent), {}});
      run_.stages.push_back({"answer", between(begin_, sent), between(sent, Clock::now()), {}});
    }
    const Digest digest = Digest::of(as_bytes(body));
    if (!*what_.answer) *what_.answer = digest;
    if (digest != **what_.answer)
      throw Error(fmt::format("'{}' answered differently than the first start did: {}, not {}", what_.name,
                              digest.text(), (*what_.answer)->text()),
                  "is the answer to this request the same every time? Choose another with --request");
  }

  /// Not timed with the rest: what an answer takes once all is warm.
  void note_warm_answer() {
    for (int i = 0; i < 2; ++i) {
      const auto sent = Clock::now();
      const Answer answer =
          ask(what_.request, {fronts_[0].pid(), specs_[0].program.environment}, what_.timeout, op_.cancel);
      if (!answer.ok)
        throw Error(fmt::format("no second answer to '{}': {}", what_.request.text, answer.reason));
      what_.warm->push_back(between(sent, Clock::now()));
    }
  }

  /// Asks until there is an answer: it, and when it was asked for. A server that ends meanwhile is an error.
  std::pair<std::string, Clock::time_point> first_answer(size_t index) {
    auto wait = std::chrono::milliseconds(2);
    Answer answer;
    while (Clock::now() - begin_ < what_.timeout) {
      const auto sent = Clock::now();
      answer = ask(what_.request, {fronts_[index].pid(), specs_[index].program.environment}, what_.timeout,
                   op_.cancel);
      if (answer.ok) return {std::move(answer.body), sent};
      pause(wait, op_.cancel);
      wait = std::min(wait * 2, std::chrono::milliseconds(20));
    }
    throw Error(fmt::format("no answer to '{}' within {} s: {}", what_.request.text,
                            what_.timeout.count() / 1000, answer.reason));
  }

  const ReplicaCase& what_;
  Replicas& replicas_;
  Operation& op_;
  std::vector<ReplicaSpec> specs_;
  std::vector<ReplicaFront> fronts_;
  Clock::time_point begin_;
  Run run_;
};

}  // namespace

Case replica_case(const ReplicaCase& what, Replicas& replicas, Operation& op) {
  const auto starting = std::make_shared<std::optional<Starting>>();
  const auto kept = std::make_shared<ReplicaCase>(what);
  Case result{what.name, what.baseline, [starting] { return (*starting)->run(); }};
  result.set_up = [starting, kept, &replicas, &op] { starting->emplace(*kept, replicas, op); };
  result.tear_down = [starting] { starting->reset(); };
  return result;
}

}  // namespace coldstart
