// SPDX-License-Identifier: Apache-2.0
#pragma once
// Numbers taken apart: all their first bytes, then all second ones, and so on. Of weights in bf16 or fp32 the
// last plane, sign and exponent, takes few values, while the others are noise; mixed, as the numbers stand,
// the noise spoils what a compressor could do about the rest and makes it slow.

#include <array>
#include <span>

#include "core/base/bytes.h"

namespace coldstart {

inline constexpr size_t max_number_width = 4;  // bytes

/// The width in bytes, 2 or 4, of the numbers that `content` seems to consist of, if it is best stored as
/// planes of those; else 1. Looks at some KiB of it.
size_t number_width(ByteSpan content);

/// `planes` has the numbers' size, a multiple of `width`; plane k begins at k / width of it.
void split_planes(ByteSpan numbers, size_t width, MutableByteSpan planes);

/// The other way round: as many planes as a number has bytes (2 or 4), each of the same size.
void join_planes(std::span<const std::byte* const> planes, MutableByteSpan numbers);

}  // namespace coldstart
