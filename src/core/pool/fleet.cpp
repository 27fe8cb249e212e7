// SPDX-License-Identifier: Apache-2.0
#include "core/pool/fleet.h"

#include <algorithm>

namespace coldstart {

void PaidCapacity::pass(double now) {
  const auto slots = static_cast<double>(slots_);
  paid_ += slots * (now - last_);
  while (last_ < now && width_ > 0) {
    const auto part = static_cast<size_t>(last_ / width_);
    if (part >= parts_.size()) break;  // after the last arrival
    const double end = std::min(now, width_ * static_cast<double>(part + 1));
    parts_[part] += slots * (end - last_);
    if (end <= last_) break;  // no progress: rounding
    last_ = end;
  }
  last_ = now;
}

std::vector<double> PaidCapacity::averages() const {
  std::vector<double> result = parts_;
  for (double& part : result) part = width_ > 0 ? part / width_ : 0;
  return result;
}

}  // namespace coldstart
