// SPDX-License-Identifier: Apache-2.0
#pragma once
// Child processes: started with exactly the descriptors they are given, never left behind.

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "core/base/fd.h"

namespace coldstart {

struct SpawnOptions {
  std::vector<std::string> argv;                        ///< argv[0] is looked up in PATH
  std::optional<std::vector<std::string>> environment;  ///< "K=V"; absent: ours
  /// (ours, theirs): descriptors that the child gets, under these numbers. Every other one is closed;
  /// 0, 1 and 2 are ours if not named here.
  std::vector<std::pair<int, int>> fds;
  std::string folder;        ///< working folder; empty: ours
  bool new_session = false;  ///< setsid(), so that a Ctrl-C on our terminal does not reach it
  bool die_with_us = true;   ///< SIGKILL when the thread that started it ends
};

/// How a process ended.
struct ExitState {
  int code = 0;    ///< exit status, if signal is 0
  int signal = 0;  ///< the signal that killed it, or 0
  bool ok() const { return code == 0 && signal == 0; }
  /// As a shell shows it: the code, or 128 + signal.
  int status() const { return signal != 0 ? 128 + signal : code; }
  /// "killed by signal 9", "exit status 1".
  std::string text() const;
};
ExitState exit_state_of(int wait_status);

/// Owns a running child: the destructor kills it with SIGKILL and reaps it. Move-only; one thread at a time.
class Child {
 public:
  Child() = default;
  /// Starts argv; throws Error (exit 6 if there is no such program).
  explicit Child(const SpawnOptions& options);
  /// Takes over a child process of ours.
  explicit Child(pid_t pid);
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}
  Child& operator=(Child&& other) noexcept;
  ~Child() { end(); }

  pid_t pid() const { return pid_; }
  explicit operator bool() const { return pid_ > 0; }
  /// Readable once the child has ended: for poll(2).
  int pidfd() const { return pidfd_.get(); }
  void kill(int signal);
  /// Waits and reaps; the object is empty afterwards.
  ExitState wait();
  /// As wait(), but gives nothing if it has not ended within `limit`.
  std::optional<ExitState> wait_for(std::chrono::milliseconds limit);
  /// Gives the child up: it is neither killed nor reaped.
  pid_t release();

 private:
  void end() noexcept;
  pid_t pid_ = -1;
  Fd pidfd_;
};

/// What a helper program said and how it ended.
struct Output {
  ExitState exit;
  std::string out;
  std::string err;
};
/// Runs argv to its end with no input and takes what it writes, at most `limit` bytes a stream.
/// Past `timeout` it is killed and Error is thrown.
Output run_program(const std::vector<std::string>& argv,
                   std::chrono::milliseconds timeout = std::chrono::seconds(30), size_t limit = 1 << 20);

/// Opens a pidfd; throws if there is no such process.
Fd open_pidfd(pid_t pid);
/// The start time of a process in clock ticks since boot (field 22 of /proc/PID/stat), which with the pid
/// names a process for good; 0 if it is gone.
uint64_t start_time_of(pid_t pid);

}  // namespace coldstart
