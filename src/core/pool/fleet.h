// SPDX-License-Identifier: Apache-2.0
#pragma once
// The hosts of a simulation, and what is paid for them.

#include <cstddef>
#include <vector>

#include "core/pool/sizing.h"

namespace coldstart {

struct SimulatedHost {
  size_t idle = 0, warming = 0, busy = 0;
  size_t surplus = 0;  ///< of the warming ones: no longer wanted, to be dropped when made
  size_t wanted = 0;   ///< idle slots that its policy wants now
  LoadForecast forecast{1};

  size_t all() const { return idle + warming + busy; }
};

/// Slots over time: their integral, and their average in equal parts of the time.
class PaidCapacity {
 public:
  PaidCapacity(double end, size_t parts) : width_(end / static_cast<double>(parts)), parts_(parts) {}
  /// From `now` on there are `change` more.
  void change(double now, long change) {
    pass(now);
    slots_ += change;
  }
  void pass(double now);
  double slot_seconds() const { return paid_; }
  std::vector<double> averages() const;

 private:
  const double width_;
  std::vector<double> parts_;
  double last_ = 0;
  long slots_ = 0;
  double paid_ = 0;
};

}  // namespace coldstart
