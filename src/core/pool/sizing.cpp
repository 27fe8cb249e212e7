// SPDX-License-Identifier: Apache-2.0
#include "core/pool/sizing.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace coldstart {

namespace {

constexpr double shortest_window = 0.05;  // seconds
// How far the forecast looks back: that many windows, but at least that many seconds.
constexpr double short_memory = 3, short_seconds = 15;
// Mean and variance fade alike, so their ratio would tell of old bursts for ever: below this it does not
// count.
constexpr double forgotten_load = 1e-3;
constexpr double long_memory = 30, long_seconds = 300;

double erlang_b_whole(size_t lines, double erlangs) {
  double inverse = 1;
  for (size_t n = 1; n <= lines; ++n) inverse = 1 + inverse * static_cast<double>(n) / erlangs;
  return 1 / inverse;
}

}  // namespace

double erlang_b(double lines, double erlangs) {
  if (erlangs <= 0) return 0;
  const double below = std::floor(lines);
  const double part = lines - below;
  const auto n = static_cast<size_t>(below);
  const double at_n = erlang_b_whole(n, erlangs);
  if (part == 0) return at_n;
  return std::exp((1 - part) * std::log(at_n) + part * std::log(erlang_b_whole(n + 1, erlangs)));
}

size_t slots_for(const Load& load, double target_hit_rate, size_t most) {
  if (load.mean <= 0) return 0;
  const double z = std::max(1.0, load.peakedness);
  const double erlangs = load.mean / z;
  const double misses = 1 - target_hit_rate;
  // Line by line until few enough calls are lost; then back to the part of a line where that begins.
  double before = 1;  // lost by one line fewer
  for (double lines = 1; (lines - 1) * z < static_cast<double>(most); ++lines) {
    const double lost = erlangs * before / (lines + erlangs * before);
    if (lost <= misses) {
      const double part = std::log(misses / before) / std::log(lost / before);
      const double slots = z * (lines - 1 + part);
      return std::min(most, static_cast<size_t>(std::ceil(slots - 1e-9 * slots)));
    }
    before = lost;
  }
  return most;
}

LoadForecast::LoadForecast(double seconds_to_make_a_slot)
    : window_(std::max(seconds_to_make_a_slot, shortest_window)) {}

void LoadForecast::set_window(double seconds) {
  const double scale = std::max(seconds, shortest_window) / window_;
  window_ *= scale;
  fast_ *= scale;
  slow_ *= scale;
  variance_ *= scale;
}

void LoadForecast::close_window(double count) {
  const double fast_windows = std::max(short_memory, short_seconds / window_);
  const double slow_windows = std::max(long_memory, long_seconds / window_);
  windows_ = std::min(windows_ + 1, slow_windows);
  const double difference = count - slow_;
  const double weight = 1 / windows_;
  slow_ += weight * difference;
  variance_ = (1 - weight) * (variance_ + weight * difference * difference);
  fast_ += (count - fast_) / std::min(windows_, fast_windows);
}

void LoadForecast::advance(double now) {
  if (!begun_) {
    begin_ = now;
    begun_ = true;
  }
  // After a long silence nothing is left of what was before: no need to count it down window by window.
  constexpr double forgotten = 20000;
  double whole = std::floor((now - begin_) / window_);
  if (whole > forgotten) {
    begin_ += (whole - forgotten) * window_;
    whole = forgotten;
  }
  for (auto left = static_cast<int64_t>(whole); left > 0; --left) {
    close_window(count_);
    count_ = 0;
    begin_ += window_;
  }
}

void LoadForecast::claimed(double now) {
  advance(now);
  ++count_;
}

Load LoadForecast::at(double now) {
  advance(now);
  // What the running window has so far counts once it is more than was expected.
  const double mean = std::max({fast_, slow_, windows_ == 0 ? count_ : 0.0});
  const double peakedness = slow_ > forgotten_load ? std::max(1.0, variance_ / slow_) : 1;
  return {mean, peakedness};
}

}  // namespace coldstart
