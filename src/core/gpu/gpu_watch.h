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

/// Thread-safe.
class GpuWatch {
 public:
  /// An answer is good for `freshness`. What the kernel has logged before now is history.
  explicit GpuWatch(std::chrono::milliseconds freshness);

  /// What is wrong with each GPU that is not well. They are asked what they tell of themselves; the first
  /// time, and then every ten minutes, they are tried, too (health.h). Who comes while another asks waits for
  /// that answer. Throws if there is none.
  std::map<GpuUuid, std::string> ill();
  /// As it was the last time that somebody asked; at once.
  std::map<GpuUuid, std::string> known_ill() const;

 private:
  using Clock = std::chrono::steady_clock;
  const std::chrono::milliseconds freshness_;
  const double begun_;  // seconds after the boot

  std::mutex asking_;                // held while they are asked; guards the next two
  Clock::time_point asked_, tried_;  // never: the clock's beginning

  mutable std::mutex mutex_;  // guards all below
  std::map<GpuUuid, std::string> told_;
  std::map<GpuUuid, std::string> found_;  // when they were tried
};

/// Throws an Error that names what is wrong, unless all of these are well.
void require_well(const std::vector<GpuUuid>& gpus, const std::map<GpuUuid, std::string>& ill);

}  // namespace coldstart
