// SPDX-License-Identifier: Apache-2.0
#pragma once
// The log of processes without a terminal.

#include <filesystem>
#include <string>

namespace coldstart {

/// From now on what core logs goes to `file`, as lines "TIME PID LEVEL NAME: TEXT". Many processes may share
/// the file. At 1 MiB it becomes FILE.1, which replaces the one before: never more than two. The folder is
/// made if it is not there. What cannot be written (a full disk) is dropped.
void log_to_file(const std::filesystem::path& file, const std::string& name);

}  // namespace coldstart
