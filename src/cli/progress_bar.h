// SPDX-License-Identifier: Apache-2.0
#pragma once
// A progress bar on a terminal: how far, how fast, time left; gone when the task is done.

#include <chrono>
#include <condition_variable>
#include <iosfwd>
#include <mutex>
#include <string>
#include <thread>

#include "core/base/progress.h"

namespace coldstart {

/// Thread-safe. Draws at most ten times a second, and also while nothing moves, by a thread that lives as
/// long as a task does; a task that is done within a fifth of a second is never shown.
class ProgressBar final : public Progress {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ProgressBar(std::ostream& terminal) : terminal_(terminal) {}
  ~ProgressBar() override;
  using Progress::begin;
  void begin(std::string_view task, uint64_t total, Unit unit) override;
  void advance(uint64_t amount) override;
  void detail(std::string_view what) override;
  void end() override;

  /// What is known of a task.
  struct Task {
    std::string name;
    std::string detail;
    Unit unit = Unit::bytes;
    uint64_t total = 0;
    uint64_t done = 0;
  };
  /// The line that is shown `seconds` after the task began.
  static std::string text(const Task& task, double seconds);

 private:
  void watch();
  void draw_locked(Clock::time_point now);
  void clear_locked();

  std::ostream& terminal_;
  std::mutex mutex_;  // guards all below but the thread
  std::condition_variable ended_;
  Task task_;
  bool running_ = false;
  bool shown_ = false;
  Clock::time_point started_;
  std::thread watcher_;  // of the one who calls begin and end
};

}  // namespace coldstart
