// SPDX-License-Identifier: Apache-2.0
#include "core/bench/charts.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/bench/export.h"

namespace coldstart {

namespace {

constexpr double label_room = 150, value_room = 90;
constexpr double left = Svg::margin + label_room;
constexpr double inner = Svg::width - left - Svg::margin - value_room;

double slowest(const BenchPart& part) {
  double most = 0;
  for (const Series& s : part.series) most = std::max(most, summarize(s.seconds).max);
  return most;
}

void draw_axis(Svg& svg, const Axis& axis, double top, double bottom) {
  for (const double tick : axis.ticks) {
    const double x = left + inner * axis.part(tick);
    svg.line(x, top, x, bottom, tick == 0 ? "axis" : "grid");
    svg.text(x, bottom + 15, shown_tick(tick, axis), "small middle");
  }
}

/// "coldstart takes 0.20x of plain, 0.71x of criu"
std::string verdict(const BenchPart& part) {
  std::string text;
  for (const Ratio& r : part.ratios())
    text += fmt::format("{}{:.2f}x of {}", text.empty() ? r.name + " takes " : ", ", r.of.median, r.baseline);
  return text;
}

}  // namespace

double draw_bars(Svg& svg, double y, const BenchPart& part) {
  constexpr double row = 26;
  const Axis axis(slowest(part));
  svg.text(Svg::margin, y + 14, part.stage, "head");
  svg.text(Svg::margin + text_width(part.stage, 15) + 12, y + 14, part.what, "small");
  const double top = y + 26;
  const double bottom = top + row * static_cast<double>(part.series.size()) + 4;
  draw_axis(svg, axis, top, bottom);
  double at = top + 4;
  for (const Series& s : part.series) {
    const Summary of = summarize(s.seconds);
    const auto x = [&](double seconds) { return left + inner * axis.part(seconds); };
    svg.text(left - 10, at + 14, s.name, "end");
    svg.bar(left, at + 3, inner * axis.part(of.median), row - 10, s.baseline ? "s7" : "s0");
    svg.line(x(of.interval.low), at + row / 2 - 2, x(of.interval.high), at + row / 2 - 2, "whisker");
    for (const double end : {of.interval.low, of.interval.high})
      svg.line(x(end), at + row / 2 - 6, x(end), at + row / 2 + 2, "whisker");
    for (const double seconds : s.seconds) svg.dot(x(seconds), at + row / 2 - 2, 1.8, "run");
    svg.text(Svg::width - Svg::margin, at + 14, shown_seconds(of.median), "end");
    at += row;
  }
  double below = bottom + 34;
  if (const std::string text = verdict(part); !text.empty()) svg.text(Svg::margin, below, text), below += 18;
  for (const Skipped& s : part.skipped) {
    svg.text(Svg::margin, below, fmt::format("skipped: {}: {}", s.name, s.reason), "small");
    below += 16;
  }
  return below + 14;
}

std::string machine_line(const Environment& e) {
  std::string text =
      fmt::format("{}, {} core{}, {:.0f} GB; Linux {}", e.cpu, e.cores, e.cores == 1 ? "" : "s",
                  static_cast<double>(e.memory_bytes) / 1e9, e.kernel);
  for (const std::string& gpu : e.gpus) text += "; " + gpu;
  for (const char* name : {"coldstart", "criu", "libfuse"})
    if (const auto found = e.versions.find(name); found != e.versions.end())
      text += fmt::format("; {} {}", name, found->second);
  return text;
}

std::string bench_picture(const BenchReport& report) {
  Svg svg;
  const bool cold = !report.parts.empty() && report.parts.front().stage == "cold-start";
  const std::string title = cold ? "A cold start, before and after" : "Stages of a cold start";
  svg.text(Svg::margin, 36, title, "title");
  svg.text(Svg::margin, 55,
           fmt::format("{} interleaved rounds, caches {}; {}", report.options.runs,
                       report.options.drop_caches ? "dropped before each run" : "as they were",
                       cold ? "each start is its median run" : "bar: median, line: its interval, dots: runs"),
           "small");
  double y = 72;
  for (const BenchPart& part : report.parts)
    if (!part.stage.ends_with("-alone"))  // the same once more
      y = part.stage == "cold-start" ? draw_waterfall(svg, y, part) : draw_bars(svg, y, part);
  svg.text(Svg::margin, y + 4, machine_line(report.environment), "small");
  return svg.finish(y + 24, title);
}

}  // namespace coldstart
