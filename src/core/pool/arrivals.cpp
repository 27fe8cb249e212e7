// SPDX-License-Identifier: Apache-2.0
#include "core/pool/arrivals.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <numbers>
#include <optional>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"

namespace coldstart {

namespace {

constexpr double day = 86400;
constexpr size_t most_arrivals = 100'000'000;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\"";
  const size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::string_view cell(std::string_view line, size_t column) {
  for (; column > 0; --column) {
    const size_t comma = line.find_first_of(",;\t");
    if (comma == std::string_view::npos) return {};
    line.remove_prefix(comma + 1);
  }
  return trimmed(line.substr(0, line.find_first_of(",;\t")));
}

template <class T>
bool eat(std::string_view& text, T& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

bool skip(std::string_view& text, std::string_view one_of) {
  if (text.empty() || one_of.find(text[0]) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

/// "+02:00", "-0330", "Z" or nothing, as seconds.
std::optional<double> zone_of(std::string_view text) {
  if (text.empty() || text == "Z" || text == "z") return 0;
  const double sign = text[0] == '-' ? -1 : 1;
  int hours = 0;
  int minutes = 0;
  std::string_view rest = text.substr(1);
  if (!(text[0] == '+' || text[0] == '-') || rest.size() < 2) return std::nullopt;
  std::string_view first = rest.substr(0, 2);
  rest.remove_prefix(2);
  skip(rest, ":");
  if (!eat(first, hours) || (!rest.empty() && !eat(rest, minutes)) || !rest.empty()) return std::nullopt;
  return sign * (hours * 3600.0 + minutes * 60.0);
}

/// ISO 8601 as databases and load balancers write it.
std::optional<double> date_and_time(std::string_view text) {
  int year = 0;
  unsigned month = 0;
  unsigned day_of_month = 0;
  int hour = 0;
  int minute = 0;
  double second = 0;
  const bool good = eat(text, year) && skip(text, "-") && eat(text, month) && skip(text, "-") &&
                    eat(text, day_of_month) && skip(text, "T ") && eat(text, hour) && skip(text, ":") &&
                    eat(text, minute) && skip(text, ":") && eat(text, second);
  if (!good) return std::nullopt;
  const auto zone = zone_of(trimmed(text));
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day_of_month)};
  if (!zone || !date.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return static_cast<double>(days) * day + hour * 3600.0 + minute * 60.0 + second - *zone;
}

std::optional<double> time_of(std::string_view text) {
  std::string_view rest = text;
  double seconds = 0;
  if (eat(rest, seconds) && rest.empty() && std::isfinite(seconds)) return seconds;
  return date_and_time(text);
}

std::optional<size_t> column_of_times(std::string_view header) {
  for (size_t i = 0; i <= static_cast<size_t>(std::count(header.begin(), header.end(), ',')); ++i)
    for (const std::string_view name : {"timestamp", "time", "arrival", "seconds"})
      if (cell(header, i) == name) return i;
  return std::nullopt;
}

/// How often they come at a moment, against the mean; `part` is how much of the trace is over, 0 to 1.
double shape(ArrivalKind kind, double seconds, double part) {
  switch (kind) {
    case ArrivalKind::daily:  // between 0.18 and 1.82: ten times
      return 1 - 9.0 / 11.0 * std::cos(2 * std::numbers::pi * seconds / day);
    case ArrivalKind::spike:
      return part > 0.49 && part < 0.51 ? 20 / 1.38 : 1 / 1.38;
    default:
      return 1;
  }
}

/// A quiet state and one of ten times its rate, which is there for a tenth of the time.
class Bursts {
 public:
  explicit Bursts(double rate) : quiet_(rate / 1.9), length_(40 / rate) {}
  double rate_at(double now, Random& random) {
    while (now >= until_) {
      busy_ = !busy_;
      const double mean = busy_ ? length_ : 9 * length_;
      until_ += -mean * std::log1p(-std::generate_canonical<double, 53>(random));
    }
    return busy_ ? 10 * quiet_ : quiet_;
  }

 private:
  const double quiet_, length_;
  double until_ = 0;
  bool busy_ = true;
};

}  // namespace

Arrivals parse_arrivals(std::string_view text, const std::string& document) {
  Arrivals result;
  size_t column = 0;
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line[0] == '#') continue;
    if (const auto time = time_of(cell(line, column))) {
      result.push_back(*time);
      if (result.size() > most_arrivals) throw Error(document + " has more than 100 million arrivals");
    } else if (!result.empty() || number > 1) {
      throw Error::corrupt(fmt::format("{}:{}: no time: '{}'", document, number, line.substr(0, 60)));
    } else {
      column = column_of_times(line).value_or(0);
    }
  }
  if (result.empty()) throw Error::corrupt(document + " has no arrivals");
  std::sort(result.begin(), result.end());
  const double first = result.front();
  for (double& time : result) time -= first;
  return result;
}

Arrivals read_arrivals(const std::filesystem::path& file) {
  return parse_arrivals(read_text(file, size_t{4} << 30), file.string());
}

ArrivalKind arrival_kind(std::string_view word) {
  constexpr std::pair<std::string_view, ArrivalKind> kinds[] = {{"steady", ArrivalKind::steady},
                                                                {"poisson", ArrivalKind::poisson},
                                                                {"daily", ArrivalKind::daily},
                                                                {"bursty", ArrivalKind::bursty},
                                                                {"spike", ArrivalKind::spike}};
  for (const auto& [name, kind] : kinds)
    if (word == name) return kind;
  throw Error::usage(fmt::format("not a kind of arrivals: '{}'", word),
                     "steady, poisson, daily, bursty or spike");
}

Arrivals make_arrivals(ArrivalKind kind, double rate, size_t count, Random& random) {
  Arrivals result;
  result.reserve(count);
  Bursts bursts(rate);
  double now = 0;
  for (size_t i = 0; i < count; ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(count);
    // `part` counts arrivals, of which a spike has more than of time.
    const double in_time = part < 0.355 ? part * 1.38 : part > 0.645 ? 1 - (1 - part) * 1.38 : 0.5;
    double at_this_time = rate * shape(kind, now, in_time);
    if (kind == ArrivalKind::bursty) at_this_time = bursts.rate_at(now, random);
    const double gap =
        kind == ArrivalKind::steady ? 1 : -std::log1p(-std::generate_canonical<double, 53>(random));
    now += gap / at_this_time;
    result.push_back(now);
  }
  return result;
}

}  // namespace coldstart
