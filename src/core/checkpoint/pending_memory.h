// SPDX-License-Identifier: Apache-2.0
#pragma once
// Memory of a process that is still on its way into it.

#include <sys/types.h>

namespace coldstart {

/// Whether a process of the tree has anonymous memory that a page server (or anybody else with a userfaultfd)
/// still has to fill. A dump would take what is missing for zeros.
bool has_pending_memory(pid_t root);

}  // namespace coldstart
