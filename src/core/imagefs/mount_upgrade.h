// SPDX-License-Identifier: Apache-2.0
#pragma once
// A mount goes over to the program as it is now under its name. As for mount_stat.h, the question goes
// through the mount: its server tells its keeper, which lets the server end what it has begun and starts
// another one.

#include <filesystem>
#include <string>

#include <sys/ioctl.h>

#include "core/base/cancel.h"

namespace coldstart {

/// Of root, or of the user whose server it is; without an argument.
inline constexpr unsigned long mount_upgrade_request = _IO(0xC5, 2);

struct MountServer {
  int pid = 0;
  std::string version;
};
struct MountUpgrade {
  MountServer before, now;
};

/// Returns once the new server serves. Throws Error if the keeper is dead, if the new program cannot take
/// over (the old one then serves on), or if no server has taken over within a minute.
MountUpgrade upgrade_mount(const std::filesystem::path& folder, const CancelToken& cancel);

}  // namespace coldstart
