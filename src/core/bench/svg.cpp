// SPDX-License-Identifier: Apache-2.0
#include "core/bench/svg.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace coldstart {

namespace {

// Colours that people who see few still tell apart (Okabe and Ito), a shade lighter on dark ground.
constexpr std::string_view style = R"(<style>
text { font: 12px system-ui, "Helvetica Neue", Arial, sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 }
.head { font-size: 13px; font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.end { text-anchor: end }
.middle { text-anchor: middle }
.ground { fill: #ffffff }
.grid { stroke: #e3e6ea; stroke-width: 1 }
.axis { stroke: #afb8c1; stroke-width: 1 }
.total { fill: #d5dae0 }
.whisker { stroke: #1f2328; stroke-width: 1.3 }
.run { fill: #1f2328; fill-opacity: .45 }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round }
.s0 { fill: #0072b2; stroke: #0072b2 } .s1 { fill: #d55e00; stroke: #d55e00 }
.s2 { fill: #009e73; stroke: #009e73 } .s3 { fill: #cc79a7; stroke: #cc79a7 }
.s4 { fill: #e69f00; stroke: #e69f00 } .s5 { fill: #56b4e9; stroke: #56b4e9 }
.s6 { fill: #7a5bb5; stroke: #7a5bb5 } .s7 { fill: #8c959f; stroke: #8c959f }
rect { stroke: none !important }
.curve { fill: none !important }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9da7b3 }
.ground { fill: #15181c } .grid { stroke: #2b3138 } .axis { stroke: #57606a } .total { fill: #343b44 }
.whisker { stroke: #e6edf3 } .run { fill: #e6edf3 }
.s0 { fill: #4aa8e0; stroke: #4aa8e0 } .s1 { fill: #ff8a3d; stroke: #ff8a3d }
.s2 { fill: #2fc79b; stroke: #2fc79b } .s3 { fill: #e29bc3; stroke: #e29bc3 }
.s4 { fill: #f2b632; stroke: #f2b632 } .s5 { fill: #86d0ff; stroke: #86d0ff }
.s6 { fill: #ab8fe6; stroke: #ab8fe6 } .s7 { fill: #99a3ad; stroke: #99a3ad }
}
</style>
)";

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '&')
      result += "&amp;";
    else if (static_cast<unsigned char>(c) >= ' ')  // others are no XML at all
      result += c;
  }
  return result;
}

}  // namespace

void Svg::text(double x, double y, std::string_view text, std::string_view classes) {
  body_ +=
      fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\">{}</text>\n", x, y, classes, escaped(text));
}

void Svg::bar(double x, double y, double w, double h, std::string_view classes) {
  body_ += fmt::format(
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" class=\"{}\"/>\n", x, y,
      std::max(1.0, w), h, w > 4 ? 2 : 0, classes);
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view classes) {
  body_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1,
                       y1, x2, y2, classes);
}

void Svg::dot(double x, double y, double radius, std::string_view classes) {
  body_ +=
      fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" class=\"{}\"/>\n", x, y, radius, classes);
}

void Svg::path(const std::vector<std::pair<double, double>>& points, std::string_view classes) {
  std::string d;
  for (const auto& [x, y] : points) d += fmt::format("{}{:.1f} {:.1f}", d.empty() ? 'M' : 'L', x, y);
  body_ += fmt::format("<path d=\"{}\" class=\"curve {}\"/>\n", d, classes);
}

double Svg::legend(double x, double y, std::string_view name, std::string_view classes) {
  bar(x, y - 9, 10, 10, classes);
  text(x + 15, y, name);
  return x + 15 + text_width(name) + 18;
}

std::string Svg::finish(double height, std::string_view title) const {
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:g} {1:g}\" width=\"{0:g}\" "
             "height=\"{1:g}\" role=\"img\">\n<title>{2}</title>\n",
             width, height, escaped(title)) +
         std::string(style) +
         fmt::format("<rect class=\"ground\" width=\"{:g}\" height=\"{:g}\"/>\n", width, height) + body_ +
         "</svg>\n";
}

double text_width(std::string_view text, double size) {
  const auto letters = std::count_if(text.begin(), text.end(),
                                     [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
  return static_cast<double>(letters) * size * 0.58;
}

Axis::Axis(double most) {
  if (!(most > 0)) most = 1;
  const double rough = most / 6;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double s : {1.0, 2.0, 5.0})
    if (rough <= s * power) {
      step = s * power;
      break;
    }
  const int count = static_cast<int>(std::ceil(most / step - 1e-9));
  for (int i = 0; i <= count; ++i) ticks.push_back(i * step);
  end = count * step;
}

std::string shown_tick(double seconds, const Axis& axis) {
  if (seconds == 0) return "0";
  if (axis.end <= 1e-3) return fmt::format("{:g} µs", seconds * 1e6);
  if (axis.end <= 1) return fmt::format("{:g} ms", seconds * 1e3);
  return fmt::format("{:g} s", seconds);
}

std::string shown_amount(double amount, bool bytes) {
  if (!bytes || amount < 1) return fmt::format("{:g}", amount);
  constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  for (; amount >= 999.5 && unit + 1 < std::size(units); ++unit) amount /= 1000;
  return fmt::format("{:.3g} {}", amount, units[unit]);
}

}  // namespace coldstart
