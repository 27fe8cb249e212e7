// SPDX-License-Identifier: Apache-2.0
#include "core/bench/export.h"

#include <array>

#include <fmt/format.h>

namespace coldstart {

std::span<const Exporter> exporters() {
  static constexpr std::array<Exporter, 4> all{{
      {"json", "Write every run and all figures to FILE", export_json},
      {"markdown", "Write the tables to FILE", export_markdown},
      {"csv", "Write every run, one a line, to FILE", export_csv},
      {"svg", "Write a picture to FILE, for any browser", export_svg},
  }};
  return all;
}

std::string shown_seconds(double seconds) {
  const auto digits = [](double value, const char* unit) {
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f} {}", value, decimals, unit);
  };
  if (seconds < 0.9995e-3) return digits(seconds * 1e6, "µs");
  if (seconds < 0.9995) return digits(seconds * 1e3, "ms");
  return digits(seconds, "s");
}

}  // namespace coldstart
