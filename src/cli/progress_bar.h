// SPDX-License-Identifier: Apache-2.0
#pragma once
// A progress bar on a terminal: bytes, rate, time left; gone when the task is done.

#include <chrono>
#include <iosfwd>
#include <mutex>
#include <string>

#include "core/base/progress.h"

namespace coldstart {

/// Thread-safe. Draws at most ten times a second.
class ProgressBar final : public Progress {
 public:
  explicit ProgressBar(std::ostream& terminal) : terminal_(terminal) {}
  ~ProgressBar() override;
  void begin(std::string_view task, uint64_t total_bytes) override;
  void advance(uint64_t bytes) override;
  void end() override;

 private:
  using Clock = std::chrono::steady_clock;
  void draw_locked(Clock::time_point now);
  void clear_locked();

  std::ostream& terminal_;
  std::mutex mutex_;  // guards all below
  std::string task_;
  uint64_t total_ = 0;
  uint64_t done_ = 0;
  bool shown_ = false;
  Clock::time_point started_;
  Clock::time_point drawn_;
};

}  // namespace coldstart
