// SPDX-License-Identifier: Apache-2.0
#pragma once
// Other people's programs, run as baselines.

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/bench/report.h"

namespace coldstart {

/// True if `program` is in PATH; else it is noted in `part` that `baseline` is skipped for want of it.
bool have_tool(const std::string& program, const std::string& package, const std::string& baseline,
               BenchPart& part);

/// Runs it to its end; throws Error with its last words if it fails.
void run_tool(const std::vector<std::string>& argv, const CancelToken& cancel);

/// A file system image mounted by the kernel through a loop device. Unmounts when destroyed.
class LoopMount {
 public:
  LoopMount(const std::string& type, const std::filesystem::path& file, std::filesystem::path folder,
            const CancelToken& cancel);
  LoopMount(const LoopMount&) = delete;
  ~LoopMount();

 private:
  std::filesystem::path folder_;
};

/// Empties a folder, or makes it.
void make_empty(const std::filesystem::path& folder);

/// Reads every byte of every regular file below `folder`; gives their number.
uint64_t read_tree(const std::filesystem::path& folder, const CancelToken& cancel);

}  // namespace coldstart
