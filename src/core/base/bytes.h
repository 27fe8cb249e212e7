// SPDX-License-Identifier: Apache-2.0
#pragma once
// Bytes in memory, and little-endian numbers in them.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace coldstart {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;
using MutableByteSpan = std::span<std::byte>;

static_assert(std::endian::native == std::endian::little, "formats are written as little-endian structs");

inline ByteSpan as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string_view as_text(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline Bytes to_bytes(std::string_view text) {
  const ByteSpan b = as_bytes(text);
  return {b.begin(), b.end()};
}

/// The bytes of one plain struct, as they are written to disk.
template <class T>
requires std::is_trivially_copyable_v<T> ByteSpan bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

/// Reads one plain struct; the caller has checked that enough bytes are there.
template <class T>
requires std::is_trivially_copyable_v<T> T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void append(Bytes& to, ByteSpan more) {
  to.insert(to.end(), more.begin(), more.end());
}

/// `bytes` of `kept`, which is made so large if it is not, with anything in them: clearing takes a while.
inline MutableByteSpan room_of(Bytes& kept, size_t bytes) {
  if (kept.size() < bytes) kept.resize(bytes);
  return MutableByteSpan(kept).first(bytes);
}

/// True if every byte is zero; runs at memory speed.
inline bool all_zero(ByteSpan bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace coldstart
