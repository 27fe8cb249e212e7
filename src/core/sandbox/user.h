// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a program's place inside is prepared with from outside: whom it runs as, and its working folder. Paths
// inside are walked as in a chroot, so that no symlink of an image leads to the host.

#include <string>

#include "core/base/exec_plan.h"

namespace coldstart {

struct Identity {
  RunAs ids;
  std::string home;  ///< absolute
};

/// "USER[:GROUP]" by the /etc/passwd and /etc/group below the folder `root`, as docker understands it: names
/// or numbers; a number need not be in there; without GROUP the user's own, and all that /etc/group adds.
/// Throws Error naming who is unknown.
Identity resolve_user(int root, const std::string& user);

/// mkdir -p of the absolute path `folder` below `root`, mode 0755, owned by root.
void make_folder_inside(int root, const std::string& folder);

}  // namespace coldstart
