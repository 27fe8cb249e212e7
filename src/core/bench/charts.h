// SPDX-License-Identifier: Apache-2.0
#pragma once
// The pictures of reports.

#include <string>
#include <vector>

#include "core/bench/report.h"
#include "core/bench/svg.h"

namespace coldstart {

/// All parts of a report, one below the other: a cold start as a waterfall, a stage as bars.
std::string bench_picture(const BenchReport& report);

/// Draw one part below `y`; give the y below it.
double draw_waterfall(Svg& svg, double y, const BenchPart& part);
double draw_bars(Svg& svg, double y, const BenchPart& part);

/// Start time against what differs between the reports.
enum class ScaleBy { automatic, memory, replicas, image };
ScaleBy scale_by(std::string_view word);  ///< throws Error::usage

/// One curve a case, one point a report. Throws Error::usage if the reports do not differ in that, or if they
/// are of other machines.
std::string scaling_picture(const std::vector<BenchReport>& reports, ScaleBy by);

/// The machine in one line, as it stands under each picture.
std::string machine_line(const Environment& environment);

}  // namespace coldstart
