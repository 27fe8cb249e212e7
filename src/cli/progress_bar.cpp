// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.h"

#include <algorithm>
#include <ostream>

#include <fmt/format.h>

#include "cli/console.h"

namespace coldstart {

ProgressBar::~ProgressBar() {
  end();
}

void ProgressBar::begin(std::string_view task, uint64_t total_bytes) {
  const std::lock_guard lock(mutex_);
  clear_locked();
  task_ = task;
  total_ = total_bytes;
  done_ = 0;
  started_ = drawn_ = Clock::now();
}

void ProgressBar::advance(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  done_ += bytes;
  const auto now = Clock::now();
  if (now - drawn_ >= std::chrono::milliseconds(100)) draw_locked(now);
}

void ProgressBar::end() {
  const std::lock_guard lock(mutex_);
  clear_locked();
}

void ProgressBar::draw_locked(Clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
  std::string text = fmt::format("{}  {}", task_, human_bytes(done_));
  if (total_ > 0) {
    constexpr size_t width = 24;
    const double part = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const auto filled = static_cast<size_t>(part * width);
    text = fmt::format("{}  [{}{}] {:3.0f} %  {}", task_, std::string(filled, '#'),
                       std::string(width - filled, '.'), part * 100, human_bytes(done_));
  }
  text += fmt::format("  {}/s", human_bytes(static_cast<uint64_t>(rate)));
  if (total_ > done_ && rate > 0)
    text += fmt::format("  {:.0f} s left", static_cast<double>(total_ - done_) / rate);
  terminal_ << "\r\033[K" << text << std::flush;
  shown_ = true;
  drawn_ = now;
}

void ProgressBar::clear_locked() {
  if (shown_) terminal_ << "\r\033[K" << std::flush;
  shown_ = false;
}

}  // namespace coldstart
