// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/keeper_link.h"

#include <cerrno>
#include <csignal>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/subprocess.h"

namespace coldstart {

KeeperLink::KeeperLink(pid_t pid) {
  if (pid <= 0) return;
  try {
    pidfd_ = open_pidfd(pid);
  } catch (const Error&) {
    return;
  }
  // While it is our parent, the pid was its own when it was opened.
  if (::getppid() == pid)
    pid_ = pid;
  else
    pidfd_.reset();
}

pid_t KeeperLink::pid() const {
  pollfd p{pidfd_.get(), POLLIN, 0};
  return pidfd_ && ::poll(&p, 1, 0) == 0 ? pid_ : 0;
}

bool KeeperLink::ask_upgrade() const {
  if (!pidfd_) return false;
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGHUP, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  throw Error::sys("cannot tell the keeper");
}

}  // namespace coldstart
