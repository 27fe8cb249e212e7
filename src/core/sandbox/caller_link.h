// SPDX-License-Identifier: Apache-2.0
#pragma once
// The supervisor's end of the socket to its caller (front.h has the messages).

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/fd.h"
#include "core/base/json.h"

namespace coldstart {

/// Tells the caller what happens, and listens to it with a thread of its own: a signal is sent on to the main
/// process, or cancels where there is none yet; what else is ordered waits to be taken; when the caller is
/// gone without having detached, `cancel` is cancelled.
class CallerLink {
 public:
  CallerLink(Fd socket, CancelToken& cancel);
  CallerLink(const CallerLink&) = delete;
  ~CallerLink();

  /// Nothing happens if the caller is gone. Thread-safe.
  void send(const OrderedJson& message);
  /// Until forward_signals_to(), signals wait for the main process, which is about to be there. If it is not
  /// there soon, as its file is far away, they cancel.
  void hold_signals();
  /// To whom signals go from now on: a pidfd, which must stay open until another is set; -1: nobody.
  void forward_signals_to(int pidfd);
  /// Readable while orders wait: for poll(2).
  int orders_fd() const { return orders_ready_.get(); }
  /// The oldest order that waits ("freeze", "thaw", "go"); empty if none. Thread-safe.
  std::string take_order();
  /// True if we end because the caller went away.
  bool caller_gone() const { return gone_; }

 private:
  using Clock = std::chrono::steady_clock;
  void listen();
  void take(std::string_view message);
  void forward_locked(int signal);
  int milliseconds_left();

  Fd socket_;
  Fd stop_;
  Fd orders_ready_;  // an eventfd that counts them
  CancelToken& cancel_;
  std::atomic<bool> gone_{false};
  bool detached_ = false;  // of the listening thread
  std::mutex mutex_;       // guards all below
  int target_ = -1;
  bool holding_ = false;
  std::vector<int> held_;  // signals
  Clock::time_point held_since_;
  std::deque<std::string> orders_;
  std::thread thread_;
};

}  // namespace coldstart
