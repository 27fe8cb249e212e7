// SPDX-License-Identifier: Apache-2.0
#pragma once
// A report as a file of some format. One file a format (export_*.cpp); a new one is a function and its line
// in the table.

#include <span>
#include <string>

#include "core/bench/report.h"

namespace coldstart {

struct Exporter {
  const char* format;  ///< as in --export-FORMAT
  const char* what;    ///< for the help
  std::string (*render)(const BenchReport& report);
};

std::span<const Exporter> exporters();

std::string export_json(const BenchReport& report);
std::string export_markdown(const BenchReport& report);
std::string export_csv(const BenchReport& report);
std::string export_svg(const BenchReport& report);

/// "12.3 ms", "1.24 s": three digits, for tables and pictures.
std::string shown_seconds(double seconds);

}  // namespace coldstart
