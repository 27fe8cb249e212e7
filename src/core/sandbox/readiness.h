// SPDX-License-Identifier: Apache-2.0
#pragma once
// Waiting until a server is ready: a URL answers, a command succeeds, or a line is logged.

#include <chrono>
#include <functional>
#include <regex>
#include <string>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/subprocess.h"
#include "core/sandbox/sandbox.h"

namespace coldstart {

/// What to wait for.
struct Readiness {
  enum class Kind {
    running,  ///< nothing: it is ready once it runs
    url,      ///< HTTP GET answers 2xx or 3xx
    command,  ///< `sh -c VALUE` inside ends with 0
    log       ///< a line on stdout or stderr matches the regular expression (ECMAScript)
  };
  Kind kind = Kind::running;
  std::string value;
  std::chrono::milliseconds timeout = std::chrono::seconds(300);

  /// Throws Error::usage for a URL that is none or a regular expression that does not compile.
  void check() const;
  std::string text() const;  ///< for messages: "http://… to answer", …
  OrderedJson to_json() const;
  static Readiness from_json(const Json& json, const std::string& document);
};

/// Of whom it is asked. All callbacks are called by the waiting thread.
struct ReadyTarget {
  /// Throws Error if what is waited for has ended; called between any two attempts.
  std::function<void()> check_alive = [] {};
  /// Becomes readable when it ends (a pidfd), so that the wait ends at once; -1: none.
  int ended_fd = -1;
  int netns = -1;  ///< URLs are asked in this network namespace; -1: ours
  /// Starts a program inside, for Kind::command.
  std::function<Child(const ProgramSpec&)> start;
  std::vector<std::string> environment;  ///< for that program
  /// True once a line has matched, for Kind::log.
  std::function<bool(const std::regex&)> logged;
  /// The last lines that it wrote to stderr, for the hint of an error; may be empty.
  std::function<std::string()> last_words = [] { return std::string(); };
};

/// Waits until ready; asks every 2 ms at first, later every 50 ms. Throws Error: past the timeout (what was
/// waited for and the last answer; last words as a hint), what check_alive threw, or cancelled.
void wait_until_ready(const Readiness& readiness, const ReadyTarget& target, const CancelToken& cancel);

}  // namespace coldstart
