// SPDX-License-Identifier: Apache-2.0
#pragma once
// A process and all that descend from it, by /proc.

#include <string>
#include <vector>

#include <sys/types.h>

namespace coldstart {

/// The processes whose parent is a thread of `pid`. None if it is gone.
std::vector<pid_t> children_of(pid_t pid);

/// `root` and its descendants, parents before their children.
std::vector<pid_t> process_tree(pid_t root);

/// Sends SIGKILL to all of a tree.
void kill_tree(pid_t root) noexcept;

/// The namespace of a kind ("pid", "mnt", …) that a process is in, as a number; 0 if it is gone.
ino_t namespace_of(pid_t pid, const std::string& kind);

/// A field of /proc/PID/status, without the blanks around it; empty if the process is gone.
std::string status_field(pid_t pid, const std::string& name);

/// The pid in its innermost namespace; 0 if it is gone.
pid_t inner_pid_of(pid_t pid);

}  // namespace coldstart
