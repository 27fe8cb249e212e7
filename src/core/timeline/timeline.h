// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the time went: spans of stages and their sub-steps, exported as a Chrome/Perfetto trace.

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace coldstart {

/// Collects spans. Thread-safe.
class Timeline {
 public:
  using Clock = std::chrono::steady_clock;

  struct Record {
    std::string name;
    double start;    ///< seconds since the timeline was made
    double seconds;  ///< how long it took
    int thread;      ///< kernel thread id
    Json args;       ///< what else is known, e.g. {"bytes": 123}; null if nothing
  };

  /// A running span: recorded when it ends (destructor or end()). Must not outlive its timeline.
  class Span {
   public:
    Span(Timeline& timeline, std::string name);
    Span(Span&& other) noexcept;
    ~Span();
    void arg(const char* key, Json value) { args_[key] = std::move(value); }
    /// Ends now; gives the seconds it took. Later calls give the same and record nothing.
    double end();

   private:
    Timeline* timeline_;
    std::string name_;
    Clock::time_point start_;
    double seconds_ = 0;
    Json args_;
  };

  Timeline() : origin_(Clock::now()) {}
  [[nodiscard]] Span span(std::string name) { return Span(*this, std::move(name)); }
  /// A span measured elsewhere (by CRIU, by a child process).
  void add(std::string name, Clock::time_point start, double seconds, Json args = nullptr);
  std::vector<Record> records() const;
  /// The trace-event format, "X" events in microseconds: loads in Perfetto and chrome://tracing.
  Json chrome_trace() const;

 private:
  const Clock::time_point origin_;
  mutable std::mutex mutex_;  // guards records_
  std::vector<Record> records_;
};

}  // namespace coldstart
