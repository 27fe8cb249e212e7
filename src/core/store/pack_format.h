// SPDX-License-Identifier: Apache-2.0
#pragma once
// The pack file on disk; docs/format.md draws it. Little-endian.
//
//   magic | frame … frame | zeros to a multiple of 8 | index | footer
//   index = PackFrame[frames] PackChunk[chunks] u32[chunks] u64[chunks]
//
// Chunks stand in the index in the order in which they stand in their frames, frame after frame; the u32
// array lists their numbers sorted by digest, for searching; the u64 array has their quick checks
// (quick_check.h), in their own order, and is not in version 1. A frame whose stored size is its content size
// is stored as it is; how any other is stored is in compression.h. Before version 3 all those are zstd's.

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/store/digest.h"

namespace coldstart {

inline constexpr std::array<char, 8> pack_magic = {'c', 's', 'p', 'a', 'c', 'k', '\0', '\1'};
inline constexpr uint32_t pack_version = 3;
inline constexpr size_t max_chunk_bytes = size_t{64} << 20;
/// A frame holds several chunks only if they fit in this together; so no frame is larger.
inline constexpr size_t max_frame_bytes = max_chunk_bytes;

struct PackFrame {
  uint64_t offset;  ///< from the start of the file; frames follow one another without gaps
  uint32_t stored;  ///< bytes in the file
  uint32_t content;
  uint32_t first_chunk;
  uint32_t chunk_count;
};
static_assert(sizeof(PackFrame) == 24);

struct PackChunk {
  Digest digest;
  uint32_t frame;
  uint32_t offset;  ///< in the frame's content
  uint32_t length;
};
static_assert(sizeof(PackChunk) == 44);

struct PackFooter {
  Digest index_digest;  ///< SHA-256 of the index: the pack's name
  uint64_t index_offset;
  uint32_t frames;
  uint32_t chunks;
  uint32_t version;
  uint32_t reserved;  ///< 0
  std::array<char, 8> magic;
};
static_assert(sizeof(PackFooter) == 64);

}  // namespace coldstart
