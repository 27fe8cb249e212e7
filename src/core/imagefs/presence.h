// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether there are still processes behind a mount, told by a lock.
//
// Who mounts opens the folder before it is covered, and takes a shared flock(2) on it. The keeper gets that
// descriptor, and each server from the keeper. It is one open file for all of them, so the lock is gone when
// the last of them has ended, whatever ended it; and once the mount is gone, the folder's name leads to it
// again. So there is no file that could be left over, and no pid that could be another's by now.

#include <chrono>
#include <filesystem>

#include "core/base/cancel.h"
#include "core/base/fd.h"

namespace coldstart {

/// To be called before the mount is made. None where the folder cannot be locked: then nobody waits.
Fd enter_presence(const std::filesystem::path& folder);

/// Enough for a server that has to leave what it is at.
inline constexpr std::chrono::seconds time_to_leave{10};

/// After the unmount: waits until the processes that were behind the mount on `folder` have ended. False if
/// they have not within `limit`. Throws Error if cancelled.
bool await_absence(const std::filesystem::path& folder, std::chrono::milliseconds limit,
                   const CancelToken* cancel = nullptr);

}  // namespace coldstart
