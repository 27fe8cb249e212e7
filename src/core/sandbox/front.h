// SPDX-License-Identifier: Apache-2.0
#pragma once
// The caller's side of a replica: starts its supervisor and follows what that tells, one JSON object a
// message, over a socket. As long as the caller has not detached, the end of the caller is the end of the
// replica.
//
//   supervisor → caller   {"state": "stage", "name": …, "start": …, "seconds": …, "bytes"?: …}
//                         {"state": "running", "pid": …, "pid_inside": …}   the main process runs
//                         {"state": "ready"}                                 and is ready
//                         {"state": "prepared"}                              waits to be told "go"
//                         {"state": "frozen"}, {"state": "thawed"}           as ordered
//                         {"state": "exited", "code": …, "signal": …}        nothing of it is left
//                         {"state": "failed", "error": {"message", "hint", "code"}}
//   caller → supervisor   {"signal": N}, {"detach": true|false}, {"order": "go"|"freeze"|"thaw"}

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/base/subprocess.h"
#include "core/sandbox/replica.h"
#include "core/sandbox/supervisor.h"

namespace coldstart {

/// A replica that is being started, or runs in the foreground. Destroyed before detach(): everything is
/// undone, and the destructor returns when nothing is left. One thread.
class ReplicaFront {
 public:
  /// Takes the name, makes the folder, starts the supervisor. `spec` gets its id. Returns at once.
  ReplicaFront(Replicas& replicas, ReplicaSpec& spec);
  ReplicaFront(ReplicaFront&&) noexcept;
  ~ReplicaFront();

  const std::string& id() const;
  /// Waits until the main process runs and is ready (spec.ready). Throws what the supervisor failed with;
  /// a program that ended meanwhile on its own is no error when there is nothing to be ready for (see
  /// ended()). Cancelled: throws; the destructor undoes. `cancel` must outlive this object. Stages come to
  /// `report` as they end.
  void wait_ready(const CancelToken& cancel, const StageSink& report = {});
  pid_t pid() const;  ///< of the main process, as seen from the host
  pid_t pid_inside() const;
  /// How it ended, if it has.
  const std::optional<ExitState>& ended() const;
  /// The replica lives on without us.
  void detach();

  /// With spec.launch_when_told: waits until all is done that comes before the launch. Then go() makes it
  /// launch, and wait_ready() waits for that.
  void wait_prepared(const CancelToken& cancel, const StageSink& report = {});
  void go();
  /// Once it is ready: it takes no step until thaw(). Both wait for the answer; they throw Error if there is
  /// none in time, or if the replica has ended.
  void freeze();
  void thaw();
  /// True: it lives on should we end. False: again it ends with us.
  void outlive_us(bool yes);
  /// Readable when the supervisor says something or has died: for poll(2); then ask ended_meanwhile().
  int event_fd() const;
  /// Looks, without waiting, whether it has ended. What it failed with is not thrown.
  bool ended_meanwhile();

  /// In the foreground, until it ends: pumps our stdin to the program (if stdin_from_caller), forwards the
  /// signals that come through `signals` (a signalfd; -1: none). Gives how the program ended.
  ExitState attend(int signals);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coldstart
