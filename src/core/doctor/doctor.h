// SPDX-License-Identifier: Apache-2.0
#pragma once
// What this host can do. Every check tries the real thing (a mount, a namespace, a fault descriptor), in a
// process and a namespace of its own, and leaves nothing behind.

#include <filesystem>
#include <string>
#include <vector>

namespace coldstart {

/// One thing that was tried. A plain value.
struct HostCheck {
  std::string name;    ///< stable, for scripts: "criu", "fuse", …
  bool needed = true;  ///< false: only makes things faster or allows more
  bool ok = false;
  std::string detail;          ///< what was found, or what failed
  std::string hint;            ///< what to do about it; empty if ok
  std::filesystem::path path;  ///< of "criu": an executable that runs it as found; else empty
};

/// Tries everything, in less than a second. `store_root` need not exist; it is not created. Never throws for
/// what a host lacks. To be called while the process has one thread, as it forks.
std::vector<HostCheck> check_host(const std::filesystem::path& store_root);

/// True if every check that is needed is ok.
bool all_needed_ok(const std::vector<HostCheck>& checks);

}  // namespace coldstart
