// SPDX-License-Identifier: Apache-2.0
#include "core/store/compression.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include <zstd.h>
#include <zstd_errors.h>

#include "core/base/error.h"
#include "core/store/byte_planes.h"
#include "core/store/store.h"

namespace coldstart {

namespace {

constexpr std::array<char, 4> planes_magic = {'c', 's', 'b', 'p'};  // zstd's is 28 b5 2f fd

/// Before the planes, which follow one another; behind them what is left of the content.
struct PlanesHeader {
  std::array<char, 4> magic;
  uint32_t width;
  std::array<uint32_t, max_number_width> stored;  ///< bytes of each; those that are not there: 0
};
static_assert(sizeof(PlanesHeader) == 24);

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

ZSTD_CCtx* compressor() {
  static thread_local const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  return context.get();
}

ZSTD_DCtx* decompressor() {
  static thread_local const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  return context.get();
}

using Parameters = std::initializer_list<std::pair<ZSTD_cParameter, int>>;

/// Prepares for one frame.
ZSTD_CCtx* compressor(Parameters parameters) {
  const auto expect = [](size_t n) {
    if (ZSTD_isError(n)) throw Error(std::string("zstd cannot be set up: ") + ZSTD_getErrorName(n));
  };
  ZSTD_CCtx* const context = compressor();
  expect(ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters));
  for (const auto& [parameter, value] : parameters) expect(ZSTD_CCtx_setParameter(context, parameter, value));
  return context;
}

ZSTD_CCtx* compressor_at(int level) {
  if (level != files_level) return compressor({{ZSTD_c_compressionLevel, level}});
  // A table that fits the nearest cache, and short matches to make up for what it forgets.
  return compressor({{ZSTD_c_compressionLevel, 2},
                     {ZSTD_c_strategy, ZSTD_fast},
                     {ZSTD_c_minMatch, 5},
                     {ZSTD_c_hashLog, 14}});
}

/// Only codes bytes by how often they come. What few values repeat by chance takes as much room again to be
/// said, and is slow to be undone.
ZSTD_CCtx* plane_compressor() {
  // "ZSTD_c_literalCompressionMode" to who links statically; 1: always, which great steps would switch off.
  constexpr ZSTD_cParameter code_literals = ZSTD_c_experimentalParam5;
  return compressor({{ZSTD_c_compressionLevel, 1},
                     {ZSTD_c_strategy, ZSTD_fast},
                     {ZSTD_c_minMatch, 7},
                     {ZSTD_c_hashLog, 6},
                     {ZSTD_c_targetLength, 4096},
                     {code_literals, 1}});
}

/// The bytes written to `room`, or nothing if they do not fit.
std::optional<size_t> compress_with(ZSTD_CCtx* context, ByteSpan content, MutableByteSpan room) {
  const size_t n = ZSTD_compress2(context, room.data(), room.size(), content.data(), content.size());
  if (!ZSTD_isError(n)) return n;
  if (ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall) return std::nullopt;
  throw Error(std::string("zstd cannot compress: ") + ZSTD_getErrorName(n));
}

void decompress_zstd(ByteSpan stored, MutableByteSpan out) {
  const size_t n = ZSTD_decompressDCtx(decompressor(), out.data(), out.size(), stored.data(), stored.size());
  if (ZSTD_isError(n))
    throw Error::corrupt(std::string("it cannot be decompressed: ") + ZSTD_getErrorName(n));
  if (n != out.size()) throw Error::corrupt("its size is not what its index says");
}

/// As compress_with().
std::optional<size_t> compress_planes(ByteSpan content, size_t width, MutableByteSpan room) {
  static thread_local Bytes kept;
  const size_t plane_bytes = content.size() / width;
  const MutableByteSpan planes = room_of(kept, plane_bytes * width);
  split_planes(content.first(planes.size()), width, planes);
  PlanesHeader header{planes_magic, static_cast<uint32_t>(width), {}};
  size_t at = sizeof header;
  const auto put = [&](ByteSpan bytes) {
    if (bytes.size() > room.size() - at) return false;
    std::copy(bytes.begin(), bytes.end(), room.begin() + static_cast<ptrdiff_t>(at));
    at += bytes.size();
    return true;
  };
  for (size_t k = 0; k < width; ++k) {
    const ByteSpan plane = planes.subspan(k * plane_bytes, plane_bytes);
    // Noise that gets a little smaller is not worth the time of who reads it.
    const size_t at_most = std::min(plane_bytes - plane_bytes / 16, room.size() - at);
    const std::optional<size_t> n = compress_with(plane_compressor(), plane, room.subspan(at, at_most));
    if (n) at += *n;
    if (!n && !put(plane)) return std::nullopt;
    header.stored[k] = static_cast<uint32_t>(n.value_or(plane_bytes));
  }
  if (!put(content.subspan(planes.size()))) return std::nullopt;
  std::memcpy(room.data(), &header, sizeof header);
  return at;
}

void decompress_planes(ByteSpan stored, MutableByteSpan out) {
  static thread_local Bytes kept;
  const auto header = load<PlanesHeader>(stored.data());
  const size_t width = header.width;
  if (width != 2 && width != 4) throw Error::corrupt("its numbers have a width that is not possible");
  const size_t plane_bytes = out.size() / width;
  const size_t rest = out.size() % width;
  const MutableByteSpan room = room_of(kept, plane_bytes * width);
  std::array<const std::byte*, max_number_width> planes{};
  size_t at = sizeof header;
  for (size_t k = 0; k < width; ++k) {
    const size_t bytes = header.stored[k];
    if (bytes > plane_bytes || bytes > stored.size() - at)
      throw Error::corrupt("a plane of its numbers has a size that is not possible");
    planes[k] = stored.data() + at;
    if (bytes < plane_bytes) {
      const MutableByteSpan plane = room.subspan(k * plane_bytes, plane_bytes);
      decompress_zstd(stored.subspan(at, bytes), plane);
      planes[k] = plane.data();
    }
    at += bytes;
  }
  if (stored.size() - at != rest) throw Error::corrupt("its size is not what its index says");
  join_planes(std::span(planes).first(width), out.first(plane_bytes * width));
  std::copy(stored.begin() + static_cast<ptrdiff_t>(at), stored.end(),
            out.end() - static_cast<ptrdiff_t>(rest));
}

}  // namespace

std::optional<Bytes> compress(ByteSpan content, int level) {
  static thread_local Bytes kept;
  // What does not fit would not be smaller.
  const MutableByteSpan room = room_of(kept, content.size()).first(content.size() - 1);
  const size_t width = number_width(content);
  const std::optional<size_t> n =
      width > 1 ? compress_planes(content, width, room) : compress_with(compressor_at(level), content, room);
  if (!n) return std::nullopt;
  return Bytes(room.begin(), room.begin() + static_cast<ptrdiff_t>(*n));
}

void decompress(ByteSpan stored, MutableByteSpan out) {
  const bool planes = stored.size() >= sizeof(PlanesHeader) &&
                      std::memcmp(stored.data(), planes_magic.data(), planes_magic.size()) == 0;
  if (planes)
    decompress_planes(stored, out);
  else
    decompress_zstd(stored, out);
}

}  // namespace coldstart
