// SPDX-License-Identifier: Apache-2.0
#pragma once
// How long this thread may still wait for the requests that it makes. Who tries again sets it once for all
// its tries, so that the last one does not last beyond it.

#include <algorithm>
#include <chrono>

namespace coldstart {

/// In force for this thread while it lives; of several the earliest counts.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Deadline(Clock::time_point at) : before_(current()) { current() = std::min(before_, at); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() { current() = before_; }

  /// At most `most`, at least a millisecond.
  static std::chrono::milliseconds left(std::chrono::milliseconds most) {
    if (current() == Clock::time_point::max()) return most;
    const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(current() - Clock::now());
    return std::clamp(rest, std::chrono::milliseconds(1), most);
  }

 private:
  static Clock::time_point& current() {
    static thread_local Clock::time_point at = Clock::time_point::max();
    return at;
  }
  const Clock::time_point before_;
};

}  // namespace coldstart
