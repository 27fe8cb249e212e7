// SPDX-License-Identifier: Apache-2.0
#pragma once
// After a failure: no process stays locked or checkpointed. Each is put back to RUNNING, or ended.

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/gpu/cuda_driver.h"
#include "core/gpu/journal.h"

namespace coldstart {

/// What became of one process. Those that ran, or were gone already, are not told of.
struct PutBack {
  pid_t pid = 0;
  std::string name;
  GpuState found = GpuState::running;  ///< the state that it was left in
  bool ended = false;                  ///< else it runs again
  std::string reason;                  ///< if ended: why
  std::string text() const;            ///< "python3 (pid 4711) was locked and runs again"
};
OrderedJson to_json(const PutBack& one);
PutBack put_back_from_json(const Json& json);

/// Puts back all that the journal names, and then removes the journal. Waits for what CRIU still holds
/// frozen.
std::vector<PutBack> put_back(const CudaDriver& driver, GpuJournal& journal);

/// Ends a process for good if it still is the one that started then; gives false if it is not.
bool end_process(pid_t pid, uint64_t started);

}  // namespace coldstart
