// SPDX-License-Identifier: Apache-2.0
#pragma once
// A picture of a simulation: arrivals and paid slots over time, and what each policy came to. One SVG file
// that opens in any browser, without script or anything from outside, readable on light and dark ground.

#include <string>
#include <vector>

#include "core/pool/simulation.h"

namespace coldstart {

/// `title` is what was simulated, in a line.
std::string plot_simulation(const Arrivals& arrivals, const std::vector<PolicyResult>& results,
                            const std::string& title);

}  // namespace coldstart
