// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.h"

#include <algorithm>
#include <ostream>

#include <fmt/format.h>

#include "cli/console.h"

namespace coldstart {

namespace {

std::string bar(double part) {
  constexpr size_t width = 24;
  const auto filled = static_cast<size_t>(part * width);
  return fmt::format("[{}{}] {:3.0f} %", std::string(filled, '#'), std::string(width - filled, '.'),
                     part * 100);
}

std::string time_left(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s left", seconds);
  return fmt::format("{:.0f} min left", seconds / 60);
}

}  // namespace

ProgressBar::~ProgressBar() {
  end();
}

void ProgressBar::begin(std::string_view task, uint64_t total, Unit unit) {
  end();
  const std::lock_guard lock(mutex_);
  task_ = {std::string(task), {}, unit, total, 0};
  started_ = Clock::now();
  running_ = true;
  watcher_ = std::thread([this] { watch(); });
}

void ProgressBar::advance(uint64_t amount) {
  const std::lock_guard lock(mutex_);
  task_.done += amount;
}

void ProgressBar::detail(std::string_view what) {
  const std::lock_guard lock(mutex_);
  task_.detail = what;
}

void ProgressBar::end() {
  {
    const std::lock_guard lock(mutex_);
    running_ = false;
    ended_.notify_all();
  }
  if (watcher_.joinable()) watcher_.join();
}

void ProgressBar::watch() {
  std::unique_lock lock(mutex_);
  const auto ended = [this] { return !running_; };
  if (ended_.wait_for(lock, std::chrono::milliseconds(200), ended)) return;
  do draw_locked(Clock::now());
  while (!ended_.wait_for(lock, std::chrono::milliseconds(100), ended));
  clear_locked();
}

std::string ProgressBar::text(const Task& task, double seconds) {
  const bool bytes = task.unit == Unit::bytes;
  const double rate = seconds > 0 ? static_cast<double>(task.done) / seconds : 0;
  std::string text = task.name;
  if (task.total > 0)
    text += "  " + bar(std::min(1.0, static_cast<double>(task.done) / static_cast<double>(task.total)));
  if (bytes && task.done > 0)
    text += fmt::format("  {}  {}/s", human_bytes(task.done), human_bytes(static_cast<uint64_t>(rate)));
  if (!bytes && task.total > 0) text += fmt::format("  {} of {}", task.done, task.total);
  if (task.total > task.done && task.done > 0)
    text += "  " + time_left(static_cast<double>(task.total - task.done) / rate);
  if (!task.detail.empty()) text += "  " + task.detail;
  if (task.done == 0) text += fmt::format("  {:.0f} s", seconds);
  return text;
}

void ProgressBar::draw_locked(Clock::time_point now) {
  // Never wider than the line: a terminal would wrap it, and the next one would not replace it.
  terminal_ << "\r\033[?7l\033[K" << text(task_, std::chrono::duration<double>(now - started_).count())
            << "\033[?7h" << std::flush;
  shown_ = true;
}

void ProgressBar::clear_locked() {
  if (shown_) terminal_ << "\r\033[K" << std::flush;
  shown_ = false;
}

}  // namespace coldstart
