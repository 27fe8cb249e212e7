// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/bench/export.h"

namespace coldstart {

namespace {

/// As RFC 4180 has it.
std::string cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

}  // namespace

/// One run a line. The machine stands in lines of its own at the end, with "environment" as stage: a
/// spreadsheet keeps them, and a filter on the stage leaves them out.
std::string export_csv(const BenchReport& report) {
  std::string text = "stage,name,round,seconds\n";
  for (const BenchPart& part : report.parts)
    for (const Series& s : part.series)
      for (size_t i = 0; i < s.seconds.size(); ++i)
        text += fmt::format("{},{},{},{:.9f}\n", cell(part.stage), cell(s.name), i + 1, s.seconds[i]);
  for (const BenchPart& part : report.parts)
    for (const Skipped& s : part.skipped)
      text += fmt::format("{},{},,{}\n", cell(part.stage), cell(s.name), cell("skipped: " + s.reason));
  for (const auto& [name, value] : report.environment.facts())
    text += fmt::format("environment,{},,{}\n", cell(name), cell(value));
  return text;
}

}  // namespace coldstart
