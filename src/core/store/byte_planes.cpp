// SPDX-License-Identifier: Apache-2.0
#include "core/store/byte_planes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coldstart {

namespace {

constexpr size_t samples = 8;
constexpr size_t sample_bytes = 2048;

using Histogram = std::array<uint32_t, 256>;

Histogram operator+(Histogram a, const Histogram& b) {
  std::transform(a.begin(), a.end(), b.begin(), a.begin(), std::plus<>());
  return a;
}

/// Bits a byte, if each is coded for itself.
double entropy(const Histogram& histogram) {
  const double all = std::accumulate(histogram.begin(), histogram.end(), 0.0);
  double bits = 0;
  for (const uint32_t count : histogram)
    if (count > 0) bits += count / all * std::log2(all / count);
  return bits;
}

/// Of the bytes at each place in a number of 4 bytes.
std::array<Histogram, 4> sample(ByteSpan content) {
  std::array<Histogram, 4> at{};
  const size_t step = (content.size() - sample_bytes) / (samples - 1) / 4 * 4;
  for (size_t i = 0; i < samples; ++i) {
    const ByteSpan part = content.subspan(i * step, sample_bytes);
    for (size_t j = 0; j < part.size(); j += 4)
      for (size_t k = 0; k < 4; ++k) ++at[k][std::to_integer<size_t>(part[j + k])];
  }
  return at;
}

/// A loop for each width, which the compiler makes vectors of.
template <size_t Width>
void split(const std::byte* numbers, size_t count, std::byte* __restrict planes) {
  for (size_t k = 0; k < Width; ++k)
    for (size_t i = 0; i < count; ++i) planes[k * count + i] = numbers[i * Width + k];
}

void join(const std::byte* a, const std::byte* b, size_t count, std::byte* __restrict numbers) {
  for (size_t i = 0; i < count; ++i) {
    numbers[2 * i] = a[i];
    numbers[2 * i + 1] = b[i];
  }
}

void join(const std::byte* a, const std::byte* b, const std::byte* c, const std::byte* d, size_t count,
          std::byte* __restrict numbers) {
  for (size_t i = 0; i < count; ++i) {
    numbers[4 * i] = a[i];
    numbers[4 * i + 1] = b[i];
    numbers[4 * i + 2] = c[i];
    numbers[4 * i + 3] = d[i];
  }
}

}  // namespace

size_t number_width(ByteSpan content) {
  if (content.size() < samples * sample_bytes) return 1;
  const auto [a, b, c, d] = sample(content);
  const double mixed = entropy(a + b + c + d);
  const std::array<double, 2> halves = {entropy(a + c), entropy(b + d)};
  const std::array<double, 4> quarters = {entropy(a), entropy(b), entropy(c), entropy(d)};
  const double as_halves = std::accumulate(halves.begin(), halves.end(), 0.0) / halves.size();
  const double as_quarters = std::accumulate(quarters.begin(), quarters.end(), 0.0) / quarters.size();
  // Bits. With less, as in tables of addresses, there are repetitions, which planes of noise cannot have.
  constexpr double noise = 7.8;
  // Neither is worth it for a hundredth; the sample alone makes more planes seem a little better.
  constexpr double worth_it = 0.97;
  const bool noisy_halves = *std::max_element(halves.begin(), halves.end()) >= noise;
  const bool noisy_quarters = *std::max_element(quarters.begin(), quarters.end()) >= noise;
  if (noisy_quarters && as_quarters < worth_it * std::min(mixed, as_halves)) return 4;
  return noisy_halves && as_halves < worth_it * mixed ? 2 : 1;
}

void split_planes(ByteSpan numbers, size_t width, MutableByteSpan planes) {
  if (width == 2)
    split<2>(numbers.data(), numbers.size() / 2, planes.data());
  else
    split<4>(numbers.data(), numbers.size() / 4, planes.data());
}

void join_planes(std::span<const std::byte* const> planes, MutableByteSpan numbers) {
  const size_t count = numbers.size() / planes.size();
  if (planes.size() == 2)
    join(planes[0], planes[1], count, numbers.data());
  else
    join(planes[0], planes[1], planes[2], planes[3], count, numbers.data());
}

}  // namespace coldstart
