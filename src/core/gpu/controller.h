// SPDX-License-Identifier: Apache-2.0
#pragma once
// The process that speaks to the driver for us: `coldstart gpu-controller`. It calls cuInit once, which takes
// seconds and goes on while its owner does other things; it serves any number of processes at once; and it is
// never ended in the middle of a call:
//
//   owner ── private socket (SOCK_SEQPACKET, one JSON message a packet) ── controller ── libcuda
//                                                                            └─ journal, see journal.h
//
//   {"id": 7, "op": "lock", "pid": 4711, "timeout_ms": 10000}      also: checkpoint, restore (with "map"),
//   unlock,
//   {"id": 7, "value": null}  or  {"id": 7, "error": {…}}          state, restore_thread, recover, finish
//
// The end of the socket is the end of its work, whatever the reason: it finishes the calls that it is in,
// puts back every process that it had locked or checkpointed and that still lives, and ends. So an owner that
// fails, is interrupted or killed leaves no process behind that hangs. If the controller itself is killed,
// its journal stays for the next one: recover_gpu().

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/subprocess.h"
#include "core/gpu/put_back.h"

namespace coldstart {

/// The owner's end. Not thread-safe. Move-only.
class GpuController {
 public:
  /// The descriptor that the controller's process has its end of the socket under.
  static constexpr int socket_number = 3;

  /// Starts it, for the journal of this store; does not wait until it can work.
  explicit GpuController(const std::filesystem::path& store_root);
  GpuController(GpuController&&) = default;
  /// As finish(), without its news.
  ~GpuController();

  /// Which of them use CUDA. Throws Error::missing where this driver has no checkpoints.
  std::vector<pid_t> cuda_processes(const std::vector<pid_t>& among, const CancelToken& cancel);
  GpuState state(pid_t pid, const CancelToken& cancel);

  /// Each does its step with all processes at once, and returns when the driver has answered for all. Throws
  /// the first error; those that were reached stay as they are until finish(). Cancelling is seen between
  /// steps: a call is never broken off.
  void lock(const std::vector<pid_t>& pids, std::chrono::milliseconds timeout, const CancelToken& cancel);
  void checkpoint(const std::vector<pid_t>& pids, const CancelToken& cancel);
  void restore(const std::vector<pid_t>& pids, const GpuMap& map, const CancelToken& cancel);
  void unlock(const std::vector<pid_t>& pids, const CancelToken& cancel);
  /// Throws unless the driver says of each that it is running.
  void require_running(const std::vector<pid_t>& pids, const CancelToken& cancel);

  /// What dead controllers of this store left is put back.
  std::vector<PutBack> recover(const CancelToken& cancel);
  /// Puts back what is not running and ends the controller; tells what was put back.
  std::vector<PutBack> finish();

 private:
  struct Ask {
    std::string op;
    pid_t pid = 0;
    Json more = Json::object();
  };
  std::vector<Json> ask(const std::vector<Ask>& asks, std::chrono::milliseconds limit,
                        const CancelToken& cancel);
  std::vector<Json> ask_each(const std::string& op, const std::vector<pid_t>& pids, const Json& more,
                             std::chrono::milliseconds limit, const CancelToken& cancel);
  Json receive(std::chrono::steady_clock::time_point deadline, const std::string& waits_for);

  std::filesystem::path store_root_;
  Fd socket_;
  Child process_;
  uint64_t next_id_ = 1;
};

/// Puts back what dead controllers left behind. Looks at one folder and no more where there is nothing.
/// Throws if what is left cannot be put back, for there is no driver any more.
std::vector<PutBack> recover_gpu(const std::filesystem::path& store_root, const CancelToken& cancel);

/// The controller's process: serves SOCKET until its other end is closed. Threads of its own.
void serve_gpu(int socket, const std::filesystem::path& store_root);

}  // namespace coldstart
