// SPDX-License-Identifier: Apache-2.0
#pragma once
// SHA-256 digests: the name of every chunk, manifest, image and snapshot.

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/bytes.h"

namespace coldstart {

struct Digest {
  std::array<uint8_t, 32> raw{};

  static Digest of(ByteSpan bytes);
  /// "sha256:<64 hex digits>", the prefix optional; nothing if it is no such thing.
  static std::optional<Digest> parse(std::string_view text);

  std::string hex() const;   ///< 64 hex digits
  std::string text() const;  ///< "sha256:…"
  auto operator<=>(const Digest&) const = default;
};

struct DigestHash {
  size_t operator()(const Digest& d) const noexcept {
    size_t h;
    std::memcpy(&h, d.raw.data(), sizeof h);
    return h;
  }
};

/// A digest of bytes that come in pieces.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  void update(ByteSpan bytes);
  Digest finish();  ///< once

 private:
  void* context_;
};

}  // namespace coldstart
