// SPDX-License-Identifier: Apache-2.0
#pragma once
// The processes of one restore, held by pidfd, so that they can be killed without ever hitting another
// process.

#include <map>
#include <mutex>
#include <vector>

#include <sys/types.h>

#include "core/base/fd.h"

namespace coldstart {

/// Thread-safe.
class Family {
 public:
  Family();
  /// A process of the restore, as seen from our pid namespace.
  void add(pid_t pid);
  /// The same of a process that `pidfd` names already.
  void adopt(pid_t pid, Fd pidfd);
  /// It is none of them any more; nothing happens if it was none.
  void remove(pid_t pid);
  /// Looks for children that the processes forked meanwhile; forgets those that have ended.
  void refresh();
  /// SIGKILLs all, and what they forked, and waits until none of them runs any more.
  void kill();
  /// Readable while there is one that has ended since the last refresh(): for poll(2).
  int ended_fd() const { return ended_.get(); }
  /// The process ids known to live.
  size_t size() const;

 private:
  void add_locked(pid_t pid);
  void hold_locked(pid_t pid, Fd pidfd);
  void refresh_locked();
  void stop_locked();
  void signal_locked(int signal) const;

  mutable std::mutex mutex_;  // guards members_
  std::map<pid_t, Fd> members_;
  const Fd ended_;  // an epoll of all pidfds
};

}  // namespace coldstart
