// SPDX-License-Identifier: Apache-2.0
#pragma once
// Fail closed. When the last descriptor of a userfaultfd is closed, the pages that are still missing silently
// become zeros: a page server that is killed would leave its processes running on wrong memory. So a second
// process, the guardian, shares the server's table of descriptors (clone with CLONE_FILES): all that the
// server has open, down to the userfaultfd of a child forked a microsecond ago, stays open when the server
// dies, and whoever misses a page waits. The guardian then kills the processes, waits until their memory is
// gone, and only then lets go.

#include <sys/types.h>

#include "core/base/fd.h"

namespace coldstart {

/// The guardian of this process. Make it while there is one thread; it belongs in a process that holds no
/// other pidfds than those of the processes to be killed with it.
class Guardian {
 public:
  Guardian();
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;
  /// All is well: it ends without killing anybody.
  ~Guardian();
  /// Readable once the guardian has ended, which it should not while it is needed.
  int pidfd() const { return pidfd_.get(); }

 private:
  pid_t pid_ = -1;
  Fd server_;  // our own pidfd, which the guardian watches
  Fd pidfd_;
};

}  // namespace coldstart
