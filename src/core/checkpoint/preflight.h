// SPDX-License-Identifier: Apache-2.0
#pragma once
// What in a process tree CRIU could not dump, found by /proc before anything is frozen, so that the answer
// names the process and the thing instead of CRIU's internals. It only lists what was seen to fail with CRIU
// 4.2; what it misses CRIU itself refuses, and the tree runs on.

#include <string>
#include <vector>

#include <sys/types.h>

#include "core/base/error.h"
#include "core/checkpoint/criu.h"

namespace coldstart {

/// One thing that cannot be dumped.
struct Obstacle {
  pid_t pid = 0;        ///< as seen by us
  std::string process;  ///< its name
  std::string what;     ///< "has io_uring open (descriptor 7)"
  std::string hint;     ///< what to do; may be empty
  Exit exit = Exit::failed;
};

/// What was found.
struct Preflight {
  std::vector<pid_t> processes;     ///< of the tree, as seen by us, the root first
  std::vector<Obstacle> obstacles;  ///< whatever the options are
  /// TCP connections of which both ends are in the tree: they can come back, by tcp_established.
  size_t connections_inside = 0;
  /// Others: they can only come back closed, by tcp_close.
  size_t connections_outside = 0;
};

/// Looks at a running tree. A process that ends meanwhile is left out. Needs to be allowed to look (root).
Preflight inspect_tree(pid_t root);

/// Throws one Error that names the first obstacles, connections among them where `options` does not say
/// what becomes of them.
void require_dumpable(const Preflight& found, const DumpOptions& options);

}  // namespace coldstart
