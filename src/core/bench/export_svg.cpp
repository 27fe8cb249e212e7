// SPDX-License-Identifier: Apache-2.0
#include "core/bench/charts.h"
#include "core/bench/export.h"

namespace coldstart {

std::string export_svg(const BenchReport& report) {
  return bench_picture(report);
}

}  // namespace coldstart
