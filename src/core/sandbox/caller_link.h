// SPDX-License-Identifier: Apache-2.0
#pragma once
// The supervisor's end of the socket to its caller (front.h has the messages).

#include <atomic>
#include <mutex>
#include <thread>

#include "core/base/cancel.h"
#include "core/base/fd.h"
#include "core/base/json.h"

namespace coldstart {

/// Tells the caller what happens, and listens to it with a thread of its own: a signal is sent on to the main
/// process; when the caller is gone without having detached, `cancel` is cancelled.
class CallerLink {
 public:
  CallerLink(Fd socket, CancelToken& cancel);
  CallerLink(const CallerLink&) = delete;
  ~CallerLink();

  /// Nothing happens if the caller is gone. Thread-safe.
  void send(const OrderedJson& message);
  /// To whom signals go from now on: a pidfd, which must stay open until another is set; -1: nobody.
  void forward_signals_to(int pidfd);
  /// True if we end because the caller went away.
  bool caller_gone() const { return gone_; }

 private:
  void listen();
  bool take(std::string_view message);  // false: no more is to come

  Fd socket_;
  Fd stop_;
  CancelToken& cancel_;
  std::atomic<bool> gone_{false};
  std::mutex mutex_;  // guards target_
  int target_ = -1;
  std::thread thread_;
};

}  // namespace coldstart
