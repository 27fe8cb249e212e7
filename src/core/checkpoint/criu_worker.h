// SPDX-License-Identifier: Apache-2.0
#pragma once
// One `criu swrk`, from its start to its last answer.

#include <filesystem>
#include <functional>
#include <string>

#include "core/base/cancel.h"
#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/subprocess.h"
#include "core/checkpoint/criu.h"
#include "core/checkpoint/criu_rpc.pb.h"

namespace coldstart {

/// A started worker, waiting for its request. One thread.
class CriuWorker {
 public:
  /// Numbers that descriptors have in the worker.
  static constexpr int socket = 3, program = 4, images = 5, work = 6, first_inherited = 7;

  /// Starts it through `start`, with the folders of `options`, its log, and `inherited` from first_inherited
  /// on. `pid_inside` as in ProgramSpec.
  CriuWorker(const CriuProgram& criu, const CriuOptions& options, const StartInside& start,
             const std::vector<int>& inherited, pid_t pid_inside);

  /// As seen by us.
  pid_t pid() const { return child_.pid(); }
  /// Readable once it has ended: for poll(2).
  int pidfd() const { return child_.pidfd(); }

  /// Sends the request.
  void send(const criu::Request& request);
  /// The next message. Throws if the worker is gone, saying why by its log. `cancel` (may be null) ends the
  /// wait with its error.
  criu::Response receive(CancelToken* cancel);
  /// Answers a notification.
  void answer(bool success);

  /// What it wrote to its log so far.
  std::string log() const;
  /// The error that its log tells, with the log's place in the hint.
  Error failure(std::string_view doing) const;
  /// It has succeeded: waits for its end and removes the log.
  void finish();

 private:
  /// The error for a worker that has closed its end: how it ended.
  Error gone();

  std::filesystem::path log_;
  Fd socket_;
  Child child_;
};

}  // namespace coldstart
