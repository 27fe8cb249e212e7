// SPDX-License-Identifier: Apache-2.0
#include "core/store/quick_check.h"

#include <cstring>

#define XXH_INLINE_ALL  // nothing to be loaded at the start
#include <xxhash.h>

namespace coldstart {

uint64_t quick_check(const Digest& digest, ByteSpan bytes) noexcept {
  uint64_t seed = 0;
  std::memcpy(&seed, digest.raw.data(), sizeof seed);
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace coldstart
