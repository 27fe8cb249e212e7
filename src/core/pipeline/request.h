// SPDX-License-Identifier: Apache-2.0
#pragma once
// A request to a replica and its answer: how servers are warmed up, and how a bench knows that one serves.

#include <chrono>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/base/cancel.h"

namespace coldstart {

/// "http://…": GET, asked from the replica's network namespace. Anything else: a command for `sh -c` inside
/// it, whose standard output is the answer.
struct Request {
  std::string text;
};

struct Answer {
  bool ok = false;  ///< 2xx, or exit status 0
  std::string body;
  std::string reason;  ///< if not ok: "HTTP 503", "connection refused", what the command wrote to stderr
};

/// Of whom it is asked.
struct RequestTarget {
  pid_t pid = 0;                         ///< a process of the replica, as seen from the host
  std::vector<std::string> environment;  ///< for commands
};

/// Asks once. A server that does not answer (yet) gives an answer that is not ok. Throws Error only for what
/// no later attempt would change (no such process, a URL that is none), and when cancelled.
Answer ask(const Request& request, const RequestTarget& target, std::chrono::milliseconds timeout,
           const CancelToken& cancel);

}  // namespace coldstart
