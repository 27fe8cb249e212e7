// SPDX-License-Identifier: Apache-2.0
#pragma once
// Asking the server of a mount what it has done. The question goes through the mount itself (an ioctl on its
// root folder), so it finds whichever process serves it now, and needs no socket.

#include <filesystem>
#include <string>

#include <sys/ioctl.h>

#include "core/base/json.h"

namespace coldstart {

/// The server's answer: JSON, ended by a NUL.
struct MountStatAnswer {
  char text[8192];
};
inline constexpr unsigned long mount_stat_request = _IOR(0xC5, 1, MountStatAnswer);

/// "pid", "version", "keeper" (a pid, or null if it is dead), and what ImageMetrics::to_json() and the server
/// say. Throws Error if no image is mounted on
/// `folder` or its server is dead.
OrderedJson mount_stat(const std::filesystem::path& folder);

/// The same for Prometheus, as its text format; `folder` becomes a label.
std::string as_prometheus(const OrderedJson& stat, const std::filesystem::path& folder);

}  // namespace coldstart
