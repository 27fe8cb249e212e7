// SPDX-License-Identifier: Apache-2.0
#include "core/pool/simulation_plot.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace coldstart {

namespace {

// In user units of the picture.
constexpr double width = 860, left = 64, right = 24;
constexpr double inner = width - left - right;
constexpr size_t parts = 240;

constexpr const char* style = R"(<style>
text { font: 12px system-ui, sans-serif; fill: #222 }
.title { font-size: 15px; font-weight: 600 }
.small { font-size: 11px; fill: #666 }
.end { text-anchor: end }
.ground { fill: #fff }
.axis { stroke: #bbb; stroke-width: 1; fill: none }
.arrivals { fill: #9aa4b1 }
.track { fill: #eceff3 }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.s-none { stroke: #7a7a7a } .f-none { fill: #7a7a7a }
.s-fixed { stroke: #0072b2 } .f-fixed { fill: #0072b2 }
.s-target { stroke: #009e73 } .f-target { fill: #009e73 }
.s-reactive { stroke: #d55e00 } .f-reactive { fill: #d55e00 }
.s-oracle { stroke: #a1559b } .f-oracle { fill: #a1559b }
@media (prefers-color-scheme: dark) {
text { fill: #e6e6e6 } .small { fill: #a0a0a0 }
.ground { fill: #15181c } .axis { stroke: #4a4f57 } .arrivals { fill: #5d6875 } .track { fill: #262b31 }
.s-none { stroke: #a5a5a5 } .f-none { fill: #a5a5a5 }
.s-fixed { stroke: #56b4e9 } .f-fixed { fill: #56b4e9 }
.s-target { stroke: #2fcf9f } .f-target { fill: #2fcf9f }
.s-reactive { stroke: #ff9347 } .f-reactive { fill: #ff9347 }
.s-oracle { stroke: #d490cf } .f-oracle { fill: #d490cf }
}
</style>
)";

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '&')
      result += "&amp;";
    else
      result += c;
  }
  return result;
}

std::string text_at(double x, double y, const std::string& text, const char* classes = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\">{}</text>\n", x, y, classes,
                     escaped(text));
}

std::string bar(double x, double y, double w, double h, const std::string& classes) {
  return fmt::format(
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"2\" class=\"{}\"/>\n", x, y,
      std::max(0.0, w), h, classes);
}

/// The number to end an axis with: 1, 2 or 5 times a power of ten, not below `value`.
double rounded_up(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0, 10.0})
    if (value <= step * power) return step * power;
  return value;
}

std::string duration(double seconds) {
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1000);
  if (seconds < 300) return fmt::format("{:.3g} s", seconds);
  if (seconds < 7200) return fmt::format("{:.3g} min", seconds / 60);
  if (seconds < 2 * 86400) return fmt::format("{:.3g} h", seconds / 3600);
  return fmt::format("{:.3g} days", seconds / 86400);
}

/// A panel over the time of the trace, with its axes; y grows upwards from `bottom`.
struct Panel {
  double top, bottom, most;
  double x(double part) const { return left + inner * part; }
  double y(double value) const { return bottom - (bottom - top) * std::min(value / most, 1.0); }
  std::string axes(const std::string& name) const {
    return text_at(left, top - 8, name, "small") +
           text_at(left - 6, top + 4, fmt::format("{:g}", most), "small end") +
           text_at(left - 6, bottom + 4, "0", "small end") +
           fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>\n", left, top, bottom,
                       left + inner);
  }
};

std::string plot_arrivals(const Arrivals& arrivals, double top, double bottom) {
  std::vector<double> counts(parts);
  const double end = std::max(arrivals.back(), 1e-9);
  for (const double time : arrivals)
    ++counts[std::min(parts - 1, static_cast<size_t>(time / end * static_cast<double>(parts)))];
  for (double& count : counts) count *= static_cast<double>(parts) / end;
  const Panel panel{top, bottom, rounded_up(*std::max_element(counts.begin(), counts.end()))};
  std::string path = fmt::format("<path class=\"arrivals\" d=\"M{:.1f} {:.1f}", left, bottom);
  for (size_t i = 0; i < parts; ++i)
    path += fmt::format("V{:.1f}H{:.1f}", panel.y(counts[i]),
                        panel.x(static_cast<double>(i + 1) / static_cast<double>(parts)));
  return path + fmt::format("V{:.1f}Z\"/>\n", bottom) + panel.axes("arrivals a second");
}

std::string plot_capacity(const std::vector<PolicyResult>& results, double top, double bottom) {
  double most = 0;
  for (const PolicyResult& r : results)
    most = std::max(most, *std::max_element(r.capacity.begin(), r.capacity.end()));
  const Panel panel{top, bottom, rounded_up(most)};
  std::string svg = panel.axes("slots paid for: idle, being made and serving");
  for (const PolicyResult& r : results) {
    svg += fmt::format("<path class=\"line s-{}\" d=\"", to_text(r.policy));
    for (size_t i = 0; i < r.capacity.size(); ++i)
      svg += fmt::format("{}{:.1f} {:.1f}", i == 0 ? 'M' : 'L',
                         panel.x((static_cast<double>(i) + 0.5) / static_cast<double>(r.capacity.size())),
                         panel.y(r.capacity[i]));
    svg += "\"/>\n";
  }
  return svg;
}

/// One column of bars; `share` is the bar's length, of 1.
struct Column {
  const char* name;
  double (*share)(const PolicyResult&, const std::vector<PolicyResult>&);
  std::string (*text)(const PolicyResult&);
};

double of_highest(double value, const std::vector<PolicyResult>& all, double PolicyResult::*member) {
  double most = 0;
  for (const PolicyResult& r : all) most = std::max(most, r.*member);
  return most > 0 ? value / most : 0;
}

constexpr Column columns[] = {
    {"hit rate", [](const PolicyResult& r, const auto&) { return r.hit_rate; },
     [](const PolicyResult& r) { return fmt::format("{:.2f} %", r.hit_rate * 100); }},
    {"start, p99",
     [](const PolicyResult& r, const auto& all) {
       return of_highest(r.start_p99, all, &PolicyResult::start_p99);
     },
     [](const PolicyResult& r) { return duration(r.start_p99); }},
    {"utilisation", [](const PolicyResult& r, const auto&) { return r.utilisation; },
     [](const PolicyResult& r) { return fmt::format("{:.1f} %", r.utilisation * 100); }},
    {"cost",
     [](const PolicyResult& r, const auto& all) { return of_highest(r.cost, all, &PolicyResult::cost); },
     [](const PolicyResult& r) { return fmt::format("{:.4g}", r.cost); }},
};

std::string plot_table(const std::vector<PolicyResult>& results, double top) {
  constexpr double row = 24, first = 76, value_room = 66;
  constexpr double column = (width - left - right - first + 40) / std::size(columns);
  std::string svg;
  for (size_t c = 0; c < std::size(columns); ++c)
    svg += text_at(24 + first + static_cast<double>(c) * column, top, columns[c].name, "small");
  for (size_t i = 0; i < results.size(); ++i) {
    const double y = top + 20 + static_cast<double>(i) * row;
    const std::string name = to_text(results[i].policy);
    svg += bar(24, y - 9, 10, 10, "f-" + name) + text_at(40, y, name);
    for (size_t c = 0; c < std::size(columns); ++c) {
      const double x = 24 + first + static_cast<double>(c) * column;
      const double room = column - value_room - 12;
      svg += bar(x, y - 9, room, 10, "track");
      svg +=
          bar(x, y - 9, room * std::clamp(columns[c].share(results[i], results), 0.0, 1.0), 10, "f-" + name);
      svg += text_at(x + room + 6, y, columns[c].text(results[i]));
    }
  }
  return svg;
}

}  // namespace

std::string plot_simulation(const Arrivals& arrivals, const std::vector<PolicyResult>& results,
                            const std::string& title) {
  const double table = 372;
  const double height = table + 24 * static_cast<double>(results.size()) + 24;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:g} {1:g}\" width=\"{0:g}\" "
      "height=\"{1:g}\">\n",
      width, height);
  svg += fmt::format("<title>{}</title>\n", escaped(title)) + style;
  svg += fmt::format("<rect class=\"ground\" width=\"{:g}\" height=\"{:g}\"/>\n", width, height);
  svg += text_at(24, 28, title, "title");
  svg += plot_arrivals(arrivals, 64, 134) + plot_capacity(results, 172, 318);
  svg +=
      text_at(left, 336, "0", "small") + text_at(width - right, 336, duration(arrivals.back()), "small end");
  return svg + plot_table(results, table) + "</svg>\n";
}

}  // namespace coldstart
