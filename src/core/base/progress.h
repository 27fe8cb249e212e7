// SPDX-License-Identifier: Apache-2.0
#pragma once
// How long work tells how far it is. core calls; src/cli draws a bar on a terminal, tests count.

#include <cstdint>
#include <string_view>

namespace coldstart {

/// Thread-safe. One task at a time: begin, any number of advance, end.
class Progress {
 public:
  virtual ~Progress() = default;
  /// `total_bytes` 0: not known.
  virtual void begin(std::string_view task, uint64_t total_bytes) = 0;
  virtual void advance(uint64_t bytes) = 0;
  virtual void end() = 0;
};

/// Says nothing.
class NoProgress final : public Progress {
 public:
  void begin(std::string_view, uint64_t) override {}
  void advance(uint64_t) override {}
  void end() override {}
};

}  // namespace coldstart
