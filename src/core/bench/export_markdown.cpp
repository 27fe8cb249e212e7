// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/bench/export.h"

namespace coldstart {

namespace {

std::string table(const BenchPart& part) {
  const std::vector<Ratio> ratios = part.ratios();
  std::string text = fmt::format(
      "### {}\n\nSeconds {}.\n\n"
      "| case | median | interval | min | max | runs |\n|---|---:|---:|---:|---:|---:|\n",
      part.stage, part.what);
  for (const Series& s : part.series) {
    const Summary of = summarize(s.seconds);
    text +=
        fmt::format("| {}{} | {} | {} – {} | {} | {} | {} |\n", s.name, s.baseline ? "" : " (ours)",
                    shown_seconds(of.median), shown_seconds(of.interval.low), shown_seconds(of.interval.high),
                    shown_seconds(of.min), shown_seconds(of.max), s.seconds.size());
  }
  if (!ratios.empty()) text += "\n| ratio | median | interval | min | max |\n|---|---:|---:|---:|---:|\n";
  for (const Ratio& r : ratios)
    text += fmt::format("| {} / {} | **{:.2f}** | {:.2f} – {:.2f} | {:.2f} | {:.2f} |\n", r.name, r.baseline,
                        r.of.median, r.of.interval.low, r.of.interval.high, r.of.min, r.of.max);
  for (const Skipped& s : part.skipped) text += fmt::format("\nSkipped: {}: {}.\n", s.name, s.reason);
  return text + "\n";
}

}  // namespace

std::string export_markdown(const BenchReport& report) {
  std::string text;
  for (const BenchPart& part : report.parts) text += table(part);
  text += fmt::format(
      "{} runs, {} warm-ups, interleaved; caches {}. A ratio is the median over the rounds of ours / theirs; "
      "intervals are of order statistics, 95 % where there are six runs or more.\n\n",
      report.options.runs, report.options.warmups,
      report.options.drop_caches ? "dropped before each run" : "as they were");
  for (const auto& [name, value] : report.environment.facts()) text += fmt::format("- {}: {}\n", name, value);
  return text;
}

}  // namespace coldstart
