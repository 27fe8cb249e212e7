// SPDX-License-Identifier: Apache-2.0
#include "core/pool/durations.h"

#include <charconv>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json.h"

namespace coldstart {

namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

Error not_a_duration(std::string_view text) {
  return Error::usage(fmt::format("not a duration: '{}'", text),
                      "seconds, exp:MEAN, uniform:LOW:HIGH, lognormal:MEDIAN:SIGMA, or @BENCH.json[:NAME]");
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

double number(std::string_view text, std::string_view whole) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) || value < 0)
    throw not_a_duration(whole);
  return value;
}

}  // namespace

Durations Durations::parse(std::string_view text) {
  if (text.starts_with('@')) {
    const size_t colon = text.rfind(':');
    const bool named = colon != std::string_view::npos;
    return from_bench(std::string(text.substr(1, named ? colon - 1 : colon)),
                      named ? std::string(text.substr(colon + 1)) : std::string());
  }
  const std::vector<std::string_view> parts = split(text, ':');
  const auto value = [&](size_t i) { return number(parts[i], text); };
  if (parts.size() == 1) return constant(value(0));
  if (parts[0] == "exp" && parts.size() == 2) return Durations(Exponential{value(1)});
  if (parts[0] == "lognormal" && parts.size() == 3) return Durations(LogNormal{value(1), value(2)});
  if (parts[0] == "uniform" && parts.size() == 3 && value(1) <= value(2))
    return Durations(Uniform{value(1), value(2)});
  throw not_a_duration(text);
}

Durations Durations::from_bench(const std::string& file, const std::string& name) {
  const Json json = parse_json(read_text(file), file);
  Measured measured;
  for (const Json& result : field<Json>(json, "results", file))
    if (name.empty() || field<std::string>(result, "name", file) == name)
      for (const double seconds : field<std::vector<double>>(result, "runs", file)) {
        if (!(seconds >= 0)) throw Error::corrupt(file + ": a run took less than no time");
        measured.seconds.push_back(seconds);
      }
  if (measured.seconds.empty())
    throw Error::usage(file + " has no runs" + (name.empty() ? "" : " of '" + name + "'"));
  return Durations(std::move(measured));
}

double Durations::sample(Random& random) const {
  const auto unit = [&] { return std::generate_canonical<double, 53>(random); };
  return std::visit(Overloaded{[](const Constant& c) { return c.seconds; },
                               [&](const Exponential& e) { return -e.mean * std::log1p(-unit()); },
                               [&](const Uniform& u) { return u.low + (u.high - u.low) * unit(); },
                               [&](const LogNormal& l) {
                                 return l.median *
                                        std::exp(l.sigma * std::normal_distribution<double>()(random));
                               },
                               [&](const Measured& m) { return m.seconds[random() % m.seconds.size()]; }},
                    kind_);
}

double Durations::mean() const {
  return std::visit(
      Overloaded{[](const Constant& c) { return c.seconds; }, [](const Exponential& e) { return e.mean; },
                 [](const Uniform& u) { return (u.low + u.high) / 2; },
                 [](const LogNormal& l) { return l.median * std::exp(l.sigma * l.sigma / 2); },
                 [](const Measured& m) {
                   return std::accumulate(m.seconds.begin(), m.seconds.end(), 0.0) /
                          static_cast<double>(m.seconds.size());
                 }},
      kind_);
}

}  // namespace coldstart
