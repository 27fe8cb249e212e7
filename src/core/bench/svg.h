// SPDX-License-Identifier: Apache-2.0
#pragma once
// Pictures as SVG: one file that opens in any browser, without script, font or anything from outside,
// readable on light and on dark ground.

#include <string>
#include <string_view>
#include <vector>

namespace coldstart {

/// A picture being drawn. Lengths are in its user units (about a pixel), y grows downwards. `classes` are
/// those of the style in svg.cpp: s0 … s7 are the colours of series.
class Svg {
 public:
  static constexpr double width = 900;
  static constexpr double margin = 28;

  void text(double x, double y, std::string_view text, std::string_view classes = "");
  void bar(double x, double y, double w, double h, std::string_view classes);
  void line(double x1, double y1, double x2, double y2, std::string_view classes);
  void dot(double x, double y, double radius, std::string_view classes);
  /// Through all points, in order.
  void path(const std::vector<std::pair<double, double>>& points, std::string_view classes);
  /// A coloured square and what it stands for; gives the x behind it.
  double legend(double x, double y, std::string_view name, std::string_view classes);
  /// The whole file. `title` is also what is read out to who cannot see it.
  std::string finish(double height, std::string_view title) const;

 private:
  std::string body_;
};

/// About how wide a text of `size` units is; on the safe side.
double text_width(std::string_view text, double size = 12);

/// A linear axis from 0 to a round number not below `most`, with round ticks.
struct Axis {
  double end = 1;
  std::vector<double> ticks;  ///< 0 included
  explicit Axis(double most);
  double part(double value) const { return value / end; }
};

/// Names for ticks of times, all in one unit: {0, 0.2, 0.4} -> "0", "200 ms", "400 ms".
std::string shown_tick(double seconds, const Axis& axis);
/// The same for numbers of bytes or of things.
std::string shown_amount(double amount, bool bytes);

}  // namespace coldstart
