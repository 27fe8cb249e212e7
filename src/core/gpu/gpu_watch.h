// SPDX-License-Identifier: Apache-2.0
#pragma once
// Keeps an eye on the GPUs of this host, for who gives them work again and again. The driver is asked by a
// process of its own (`coldstart gpu-health`), as it may hang where a GPU is broken.

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/gpu/gpu_uuid.h"

namespace coldstart {

/// Thread-safe: who comes while another asks waits for that answer.
class GpuWatch {
 public:
  /// An answer is good for `freshness`. What the kernel has logged before now is history.
  explicit GpuWatch(std::chrono::milliseconds freshness);

  /// What is wrong with each GPU that is not well. They are asked what they tell of themselves; the first
  /// time, and then every ten minutes, they are tried, too (health.h). Throws if nobody answers.
  std::map<GpuUuid, std::string> ill();
  /// Throws an Error that names what is wrong, unless all of these are well.
  void require_well(const std::vector<GpuUuid>& gpus);

 private:
  using Clock = std::chrono::steady_clock;
  const std::chrono::milliseconds freshness_;
  const double begun_;  // seconds after the boot
  std::mutex mutex_;    // guards all below, and is held while they are asked
  std::map<GpuUuid, std::string> told_;
  std::map<GpuUuid, std::string> found_;  // when they were tried
  Clock::time_point asked_, tried_;       // never: the clock's beginning
};

}  // namespace coldstart
