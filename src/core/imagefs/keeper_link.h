// SPDX-License-Identifier: Apache-2.0
#pragma once
// The keeper (keeper.h) as its server knows it.

#include <sys/types.h>

#include "core/base/fd.h"

namespace coldstart {

/// Thread-safe once made.
class KeeperLink {
 public:
  /// `pid` is our parent; 0: there is no keeper. One that is dead already is none either.
  explicit KeeperLink(pid_t pid);
  /// 0 if it is dead, or there is none.
  pid_t pid() const;
  /// Has it start the program anew, which ends us. False if it is dead, or there is none. Throws Error.
  bool ask_upgrade() const;

 private:
  pid_t pid_ = 0;
  Fd pidfd_;
};

}  // namespace coldstart
