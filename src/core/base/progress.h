// SPDX-License-Identifier: Apache-2.0
#pragma once
// How long work tells how far it is. core calls; src/cli draws a bar on a terminal, tests count.

#include <cstdint>
#include <string_view>

namespace coldstart {

/// Thread-safe. One task at a time: begin, any number of advance and detail, end.
class Progress {
 public:
  enum class Unit {
    bytes,
    steps  ///< runs, stages: countable, and rarely alike
  };
  virtual ~Progress() = default;
  /// `total` 0: not known.
  virtual void begin(std::string_view task, uint64_t total, Unit unit) = 0;
  void begin(std::string_view task, uint64_t total_bytes) { begin(task, total_bytes, Unit::bytes); }
  virtual void advance(uint64_t amount) = 0;
  /// What the task is at just now.
  virtual void detail(std::string_view what) = 0;
  virtual void end() = 0;
};

/// Says nothing.
class NoProgress final : public Progress {
 public:
  using Progress::begin;
  void begin(std::string_view, uint64_t, Unit) override {}
  void advance(uint64_t) override {}
  void detail(std::string_view) override {}
  void end() override {}
};

}  // namespace coldstart
