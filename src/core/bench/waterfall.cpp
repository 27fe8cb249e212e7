// SPDX-License-Identifier: Apache-2.0
// A cold start as a waterfall: for each way to start, one bar a stage, all on one axis of time. Where ours is
// so much shorter that its stages are slivers there, it is drawn once more, enlarged.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/bench/charts.h"
#include "core/bench/export.h"

namespace coldstart {

namespace {

constexpr double left = Svg::margin;
constexpr double inner = Svg::width - 2 * Svg::margin;
constexpr double row = 19, bar_height = 13;

/// The colour of a stage: the same in each start.
std::string colour(const std::string& stage) {
  constexpr std::array<const char*, 7> known = {"image.mount",  "start-up", "memory", "sandbox",
                                                "criu.restore", "answer",   "launch"};
  const auto found = std::find(known.begin(), known.end(), stage);
  return fmt::format("s{}", found - known.begin());  // s7 for what is not known
}

std::string full_name(const Series& s) {
  if (s.name == "plain") return "plain start";
  if (s.name == "criu") return "plain CRIU";
  return s.name;
}

/// Beside its bar: right of it, or left where there is no room.
void draw_label(Svg& svg, double begin, double end, double y, const std::string& text) {
  const double room = left + inner - end;
  if (text_width(text) + 8 < room)
    svg.text(end + 6, y, text);
  else if (text_width(text) + 8 < begin - left)
    svg.text(begin - 6, y, text, "end");
  else
    svg.text(begin + 6, y, text);
}

double draw_start(Svg& svg, double y, const Series& s, double seconds, const Axis& axis,
                  const std::string& remark) {
  const auto x = [&](double at) { return left + inner * axis.part(at); };
  svg.text(left + 6, y + 12, fmt::format("{}: {}{}", full_name(s), shown_seconds(seconds), remark), "head");
  y += row;
  svg.bar(left, y, inner * axis.part(seconds), 3, "total");
  y += 7;
  for (const StageSpan& stage : s.stages) {
    svg.bar(x(stage.start), y, inner * axis.part(stage.seconds), bar_height, colour(stage.name));
    draw_label(svg, x(stage.start), std::max(x(stage.start) + 1, x(stage.start + stage.seconds)), y + 10.5,
               fmt::format("{}  {}", stage.name, shown_seconds(stage.seconds)));
    y += row;
  }
  return y + 10;
}

/// Grid first, so that bars lie over it; its height is known beforehand.
double height_of(const Series& s) {
  return row + 7 + row * static_cast<double>(s.stages.size()) + 10;
}

void draw_grid(Svg& svg, const Axis& axis, double top, double bottom) {
  for (const double tick : axis.ticks) {
    const double x = left + inner * axis.part(tick);
    svg.line(x, top, x, bottom, tick == 0 ? "axis" : "grid");
    svg.text(x, bottom + 15, shown_tick(tick, axis),
             tick == 0                   ? "small"
             : tick == axis.ticks.back() ? "small end"
                                         : "small middle");
  }
}

/// The time of the run that the stages are of.
double seconds_of(const Series& s) {
  double end = 0;
  for (const StageSpan& stage : s.stages) end = std::max(end, stage.start + stage.seconds);
  return std::max(end, summarize(s.seconds).median);
}

std::string against(const BenchPart& part, const Series& s) {
  for (const Ratio& r : part.ratios())
    if (r.name == s.name && r.baseline == "plain" && r.of.median > 0)
      return fmt::format(" ({:.1f} times faster than the plain start)", 1 / r.of.median);
  return {};
}

double draw_legend(Svg& svg, double y, const BenchPart& part) {
  constexpr std::pair<const char*, const char*> meanings[] = {
      {"image.mount", "image mounted"},        {"sandbox", "namespaces and root"},
      {"launch", "program launched"},          {"start-up", "imports, weights, compilation"},
      {"memory", "memory made ready"},         {"criu.restore", "processes restored"},
      {"answer", "first request is answered"},
  };
  double x = left;
  for (const auto& [stage, meaning] : meanings) {
    const bool used = std::any_of(part.series.begin(), part.series.end(), [name = stage](const Series& s) {
      return std::any_of(s.stages.begin(), s.stages.end(),
                         [&](const StageSpan& span) { return span.name == name; });
    });
    if (!used) continue;
    if (x + text_width(meaning) + 30 > left + inner) {
      x = left;
      y += 18;
    }
    x = svg.legend(x, y, meaning, colour(stage));
  }
  return y + 24;
}

}  // namespace

double draw_waterfall(Svg& svg, double y, const BenchPart& part) {
  double most = 0;
  double least = 1e300;
  double height = 0;
  for (const Series& s : part.series) {
    most = std::max(most, seconds_of(s));
    if (!s.baseline) least = std::min(least, seconds_of(s));
    height += height_of(s);
  }
  const Axis axis(most);
  y = draw_legend(svg, y + 14, part);
  draw_grid(svg, axis, y - 8, y + height);
  for (const Series& s : part.series)
    y = draw_start(svg, y, s, summarize(s.seconds).median, axis, s.baseline ? "" : against(part, s));
  y += 34;
  if (least > most * 0.4) return y;
  for (const Series& s : part.series) {
    if (s.baseline) continue;
    const Axis own(seconds_of(s));
    draw_grid(svg, own, y - 8, y + height_of(s));
    y = draw_start(svg, y, s, summarize(s.seconds).median, own,
                   fmt::format(", drawn {:.0f} times larger", axis.end / own.end));
    y += 34;
  }
  return y;
}

}  // namespace coldstart
