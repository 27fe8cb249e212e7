// SPDX-License-Identifier: Apache-2.0
#pragma once
// A task that is shown for as long as this object lives, however its work ends.

#include "core/base/progress.h"

namespace coldstart {

class ProgressTask {
 public:
  ProgressTask(Progress& progress, std::string_view name, uint64_t total,
               Progress::Unit unit = Progress::Unit::bytes)
      : progress_(progress) {
    progress_.begin(name, total, unit);
  }
  ~ProgressTask() { progress_.end(); }
  ProgressTask(const ProgressTask&) = delete;
  ProgressTask& operator=(const ProgressTask&) = delete;

 private:
  Progress& progress_;
};

}  // namespace coldstart
