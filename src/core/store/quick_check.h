// SPDX-License-Identifier: Apache-2.0
#pragma once
// A checksum that tells, at the speed of memory, whether a chunk is still what it was when its digest was
// found to be right.

#include <cstdint>

#include "core/base/bytes.h"
#include "core/store/digest.h"

namespace coldstart {

/// XXH3 (64 bits) of the bytes, seeded by the digest, so that another chunk does not pass for this one. Finds
/// what a disk does to them (but for one case in 2^64); it is no proof against who wants to deceive, so what
/// comes from elsewhere is checked by its digest. Thread-safe.
uint64_t quick_check(const Digest& digest, ByteSpan bytes) noexcept;

}  // namespace coldstart
