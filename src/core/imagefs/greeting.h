// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the kernel and a mount's first server agreed on (FUSE_INIT), kept for the servers after it.
//
// The kernel greets once, when the mount is made. A later server on the same descriptor is handed the same
// greeting out of a memory file that outlives every server; what libfuse answers goes nowhere, as the kernel
// has had its answer long ago. It must be the same answer, or the two would not mean the same by their words.
//
// Requests that a dead server had taken are still waiting in the kernel. FUSE_NOTIFY_RESEND (Linux 6.9) puts
// them back into the queue; until their answer comes, nobody who waits for one notices anything.

#include <atomic>
#include <optional>

#include "core/base/fd.h"
#include "core/imagefs/session.h"

namespace coldstart {

struct Greeting {
  Bytes request;  ///< fuse_in_header and fuse_init_in
  Bytes reply;    ///< fuse_out_header and fuse_init_out

  /// The kernel can hand out requests once more.
  bool can_resend() const;
  /// Feature flags of the answer; 0 if it is none.
  uint64_t agreed_flags() const;
};

/// An empty memory file: one without a greeting.
Fd make_server_state();
/// What is kept in it; nothing if nobody was greeted yet. Throws Error::corrupt for what is none of ours.
std::optional<Greeting> read_greeting(int state);

/// Keeps the greeting in the state file as it passes by, before the kernel gets the answer: whenever a server
/// dies, either the kernel waits for an answer still, or the state has it. Stands last among hooks, as it
/// must see what the kernel gets.
class GreetingHook : public SessionHook {
 public:
  /// `state` -1: kept nowhere.
  explicit GreetingHook(int state) : state_(state) {}
  void on_request(ByteSpan request) noexcept override;
  void on_reply(std::span<const iovec> pieces) noexcept override;
  /// What passed by last; to be asked by the thread that served it.
  const Greeting& seen() const { return seen_; }

 private:
  const int state_;
  std::atomic<uint64_t> unique_{0};  // of the greeting that waits for its answer
  Greeting seen_;
};

/// Has the kernel hand out again what was taken and not answered. Throws Error.
void resend_requests(int fuse_fd);

}  // namespace coldstart
