// SPDX-License-Identifier: Apache-2.0
#pragma once
// Processes in other namespaces that are nevertheless our own children.
//
// A pid namespace can only be entered by children: whoever calls setns stays where it is. So a helper is
// forked, which enters the namespaces and clones with CLONE_PARENT: the clone is inside, and our child. The
// helper also makes this safe in a process with threads, since it has none.

#include <functional>

#include <sys/types.h>

#include "core/base/subprocess.h"
#include "core/sandbox/sandbox.h"

namespace coldstart {

struct CloneRequest {
  int namespaces = -1;   ///< pidfd of the process whose namespaces are entered; -1: stay
  uint64_t flags = 0;    ///< of clone3: new namespaces
  pid_t pid_inside = 0;  ///< 0: any
};

/// Runs `body` in a child of ours; it must not return. Throws if the kernel will not have it.
Child clone_as_child(const CloneRequest& request, const std::function<void()>& body);

/// Starts a program in the namespaces of the process `pid`, which `pidfd` keeps from being another. Its file
/// may be far away: who cancels meanwhile ends it, and is not kept waiting. Null: nobody cancels.
Child start_in_namespaces(pid_t pid, int pidfd, const ProgramSpec& program,
                          const CancelToken* cancel = nullptr);

}  // namespace coldstart
