// SPDX-License-Identifier: Apache-2.0
#pragma once
// Cancellation of long operations: one token, set by a signal or another thread, looked at by the work.

#include <atomic>

#include "core/base/fd.h"

namespace coldstart {

/// Set once, from any thread or from a signal handler; read from any thread.
class CancelToken {
 public:
  CancelToken();

  /// Asks all that watches this token to stop, because of `signal` (SIGINT, SIGTERM, SIGPIPE when nobody
  /// reads our output any more; 0: no signal).
  /// Async-signal-safe.
  void cancel(int signal = 0) noexcept;
  bool cancelled() const noexcept { return state_.load(std::memory_order_acquire) != 0; }
  /// The signal it was cancelled for; 0 if none.
  int signal() const noexcept;
  /// Throws Error (exit 130 or 143 for SIGINT and SIGTERM) if cancelled.
  void check() const;
  /// Becomes readable for ever once cancelled: for poll(2). Never read from it.
  int fd() const { return event_.get(); }

 private:
  std::atomic<int> state_{0};  // 0, or 1 + the signal's number
  Fd event_;
};

}  // namespace coldstart
