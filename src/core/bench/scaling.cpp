// SPDX-License-Identifier: Apache-2.0
// Start time against size: each report is a measurement of another size, each case a curve through them.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/bench/charts.h"
#include "core/bench/export.h"

namespace coldstart {

namespace {

constexpr double left = 78, right = Svg::width - 40, top = 124, bottom = 430;

struct Quantity {
  ScaleBy by;
  const char* parameter;
  const char* title;
  bool bytes;
};
constexpr Quantity quantities[] = {
    {ScaleBy::memory, "memory_bytes", "memory in the snapshot", true},
    {ScaleBy::replicas, "replicas", "replicas started at once", false},
    {ScaleBy::image, "image_bytes", "size of the image", true},
};

std::set<double> values_of(const std::vector<BenchReport>& reports, const Quantity& quantity) {
  std::set<double> values;
  for (const BenchReport& report : reports) {
    const auto found = report.parameters.find(quantity.parameter);
    if (found != report.parameters.end()) values.insert(found->second);
  }
  return values;
}

const Quantity& choose(const std::vector<BenchReport>& reports, ScaleBy by) {
  for (const Quantity& q : quantities)
    if ((by == q.by || by == ScaleBy::automatic) && values_of(reports, q).size() > 1) return q;
  throw Error::usage(by == ScaleBy::automatic
                         ? "the reports differ neither in memory, nor in replicas, nor in the image's size"
                         : "the reports do not differ in what is to be plotted by",
                     "give --export-json files of several sizes of the same bench");
}

struct Point {
  double x;
  Summary seconds;
};
using Curves = std::map<std::string, std::vector<Point>>;

Curves curves_of(const std::vector<BenchReport>& reports, const Quantity& quantity) {
  Curves curves;
  const bool one_stage = std::all_of(reports.begin(), reports.end(), [&](const BenchReport& r) {
    return r.parts.size() == 1 && r.parts[0].stage == reports[0].parts.at(0).stage;
  });
  for (const BenchReport& report : reports) {
    const auto x = report.parameters.find(quantity.parameter);
    if (x == report.parameters.end()) continue;
    for (const BenchPart& part : report.parts)
      for (const Series& s : part.series)
        curves[one_stage ? s.name : part.stage + " " + s.name].push_back({x->second, summarize(s.seconds)});
  }
  for (auto& [name, points] : curves)
    std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.x < b.x; });
  return curves;
}

void draw_frame(Svg& svg, const Axis& x_axis, const Axis& y_axis, const Quantity& quantity) {
  for (const double tick : y_axis.ticks) {
    const double y = bottom - (bottom - top) * y_axis.part(tick);
    svg.line(left, y, right, y, tick == 0 ? "axis" : "grid");
    svg.text(left - 8, y + 4, shown_tick(tick, y_axis), "small end");
  }
  for (const double tick : x_axis.ticks) {
    const double x = left + (right - left) * x_axis.part(tick);
    svg.line(x, bottom, x, bottom + 4, "axis");
    svg.text(x, bottom + 18, shown_amount(tick, quantity.bytes), "small middle");
  }
  svg.text((left + right) / 2, bottom + 40, quantity.title, "middle");
  svg.text(Svg::margin, top - 16, "seconds until the start is done: median and its interval", "small");
}

}  // namespace

ScaleBy scale_by(std::string_view word) {
  if (word == "auto") return ScaleBy::automatic;
  if (word == "memory") return ScaleBy::memory;
  if (word == "replicas") return ScaleBy::replicas;
  if (word == "image") return ScaleBy::image;
  throw Error::usage(fmt::format("'{}' is nothing to plot by", word), "auto, memory, replicas or image");
}

std::string scaling_picture(const std::vector<BenchReport>& reports, ScaleBy by) {
  for (const BenchReport& report : reports)
    if (!report.environment.like(reports.front().environment))
      throw Error::usage("the reports are of different machines: their times cannot be in one plot");
  const Quantity& quantity = choose(reports, by);
  const Curves curves = curves_of(reports, quantity);
  double most_x = 0;
  double most_y = 0;
  for (const auto& [name, points] : curves)
    for (const Point& p : points) {
      most_x = std::max(most_x, p.x);
      most_y = std::max(most_y, p.seconds.interval.high);
    }
  const Axis x_axis(most_x);
  const Axis y_axis(most_y);
  Svg svg;
  const std::string title = fmt::format("{} against {}", reports.front().parts.at(0).stage, quantity.title);
  svg.text(Svg::margin, 36, title, "title");
  draw_frame(svg, x_axis, y_axis, quantity);
  double legend_x = Svg::margin;
  size_t index = 0;
  for (const auto& [name, points] : curves) {
    const std::string colour = fmt::format("s{}", index++ % 8);
    std::vector<std::pair<double, double>> line;
    for (const Point& p : points) {
      const auto y = [&](double seconds) { return bottom - (bottom - top) * y_axis.part(seconds); };
      const double x = left + (right - left) * x_axis.part(p.x);
      svg.line(x, y(p.seconds.interval.low), x, y(p.seconds.interval.high), colour);
      svg.dot(x, y(p.seconds.median), 3.5, colour);
      line.emplace_back(x, y(p.seconds.median));
    }
    svg.path(line, colour);
    legend_x = svg.legend(legend_x, 66, name, colour);
  }
  svg.text(Svg::margin, bottom + 70, machine_line(reports.front().environment), "small");
  return svg.finish(bottom + 90, title);
}

}  // namespace coldstart
