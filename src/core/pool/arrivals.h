// SPDX-License-Identifier: Apache-2.0
#pragma once
// When starts are asked for: a trace from a file, or made up.

#include <filesystem>
#include <string_view>
#include <vector>

#include "core/pool/durations.h"

namespace coldstart {

/// Seconds, ascending, the first at 0 or later.
using Arrivals = std::vector<double>;

/// One arrival a line: seconds, or a date and time (2026-01-31T12:00:00.5Z); of a CSV the first column, or
/// the one headed "timestamp", "time", "arrival" or "seconds". Empty lines and lines that begin with '#' are
/// left out. They may be in any order; times count from the first. Throws Error::corrupt, which names the
/// line.
Arrivals parse_arrivals(std::string_view text, const std::string& document);
Arrivals read_arrivals(const std::filesystem::path& file);

/// Shapes of made-up traces.
enum class ArrivalKind {
  steady,   ///< evenly spaced
  poisson,  ///< independent of each other, at a constant rate
  daily,    ///< a sine over the day: at night a tenth of what comes at noon
  bursty,   ///< quiet most of the time, with bursts of ten times the rate
  spike     ///< once in the middle twenty times the rate, for a fiftieth of the time
};
/// Throws Error::usage.
ArrivalKind arrival_kind(std::string_view word);

/// `count` arrivals, about `rate` a second over all.
Arrivals make_arrivals(ArrivalKind kind, double rate, size_t count, Random& random);

}  // namespace coldstart
