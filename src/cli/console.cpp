// SPDX-License-Identifier: Apache-2.0
#include "cli/console.h"

#include <algorithm>
#include <ctime>
#include <ostream>

#include <fmt/format.h>

#include "cli/progress_bar.h"

namespace coldstart {

namespace {
constexpr const char* bold = "\033[1m";
constexpr const char* red = "\033[31m";
constexpr const char* reset = "\033[0m";

/// Columns that a terminal shows for UTF-8 text without wide characters.
size_t columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}
}  // namespace

Console::Console(std::ostream& out, std::ostream& err, Style style) : out_(out), err_(err), style_(style) {}

void Console::line(std::string_view text) {
  if (!json) out_ << text << std::endl;  // flushed: long-running commands say how far they are
}

void Console::table(const std::vector<std::string>& header,
                    const std::vector<std::vector<std::string>>& rows) {
  if (json) return;
  std::vector<std::string> names = header;
  std::vector<bool> right(header.size());
  std::vector<size_t> widths(header.size());
  for (size_t i = 0; i < header.size(); ++i) {
    right[i] = header[i].starts_with('>');
    if (right[i]) names[i].erase(0, 1);
    widths[i] = columns(names[i]);
    for (const auto& row : rows) widths[i] = std::max(widths[i], columns(row.at(i)));
  }
  const auto print = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string pad(widths[i] - columns(cells[i]), ' ');
      const bool last = i + 1 == cells.size();
      text += right[i] ? pad + cells[i] : cells[i] + (last ? "" : pad);
      if (!last) text += "  ";
    }
    return text;
  };
  const bool emphasis = style_.colour && style_.out_is_terminal;
  out_ << (emphasis ? bold : "") << print(names) << (emphasis ? reset : "") << '\n';
  for (const auto& row : rows) out_ << print(row) << '\n';
  out_.flush();
}

void Console::result(const OrderedJson& value) {
  if (json) out_ << value.dump(2, ' ', false, OrderedJson::error_handler_t::replace) << std::endl;
}

void Console::note(std::string_view text) {
  if (!quiet) err_ << text << '\n';
}

void Console::error(const Error& error) {
  const bool emphasis = style_.colour && style_.err_is_terminal;
  err_ << "coldstart: " << (emphasis ? red : "") << "error:" << (emphasis ? reset : "") << ' '
       << error.message() << '\n';
  if (!error.hint().empty()) err_ << "hint: " << error.hint() << '\n';
  if (!json || !out_) return;  // the error may be that stdout cannot be written
  OrderedJson body = {{"code", static_cast<int>(error.exit())}, {"message", error.message()}};
  if (!error.hint().empty()) body["hint"] = error.hint();
  result({{"error", std::move(body)}});
}

void Console::flush() {
  if (out_) out_.flush();
}

std::unique_ptr<Progress> Console::progress() {
  if (quiet || !show_progress || !style_.err_is_terminal) return std::make_unique<NoProgress>();
  return std::make_unique<ProgressBar>(err_);
}

std::string human_bytes(uint64_t bytes) {
  constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 || value >= 99.95 ? fmt::format("{:.0f} {}", value, units[unit])
                                     : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string human_seconds(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.0f} µs", seconds * 1e6);
  if (seconds < 0.1) return fmt::format("{:.1f} ms", seconds * 1e3);
  return seconds < 100 ? fmt::format("{:.2f} s", seconds) : fmt::format("{:.0f} s", seconds);
}

std::string human_age(int64_t then) {
  const int64_t age = std::max<int64_t>(0, static_cast<int64_t>(std::time(nullptr)) - then);
  const auto say = [](int64_t n, const char* unit) {
    return fmt::format("{} {}{} ago", n, unit, n == 1 ? "" : "s");
  };
  if (age < 60) return say(age, "second");
  if (age < 3600) return say(age / 60, "minute");
  if (age < 86400) return say(age / 3600, "hour");
  return say(age / 86400, "day");
}

}  // namespace coldstart
