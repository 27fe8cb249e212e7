// SPDX-License-Identifier: Apache-2.0
#pragma once
// Running a program to its end and taking what it says.

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/subprocess.h"

namespace coldstart {

/// (ours, theirs), as in SpawnOptions.
using FdPairs = std::vector<std::pair<int, int>>;
/// Starts a program whose stdio are these descriptors.
using StartWithFds = std::function<Child(const FdPairs& fds)>;
/// Runs what `start` starts to its end with no input and takes what it writes, at most `limit` bytes a
/// stream. Past `timeout`, or when cancelled, it is killed and Error is thrown. `shown` names it in errors.
Output run_to_end(const std::string& shown, const StartWithFds& start, std::chrono::milliseconds timeout,
                  const CancelToken* cancel = nullptr, size_t limit = 1 << 20);

}  // namespace coldstart
