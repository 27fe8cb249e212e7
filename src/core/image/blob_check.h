// SPDX-License-Identifier: Apache-2.0
#pragma once
// What makes a metadata blob a good one. Blobs come from outside: after these checks no record leads out of
// the blob, into a cycle, or into more work than the blob has bytes. Both throw Error::corrupt saying what
// is wrong and where.

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/bytes.h"
#include "core/image/format.h"

namespace coldstart {

// Limits of what an image can hold; the builder refuses what lies beyond them by name.
inline constexpr uint32_t max_inodes = uint32_t{1} << 24;
inline constexpr uint32_t max_name_bytes = 255;
inline constexpr uint32_t max_target_bytes = 4095;
inline constexpr uint32_t max_xattr_value_bytes = 65536;
inline constexpr uint32_t max_chunk_bytes = uint32_t{64} << 20;
inline constexpr uint32_t max_depth = 4096;  ///< folders in folders: walks may recurse

struct BlobView {
  std::span<const InodeRecord> inodes;
  std::span<const EntryRecord> entries;
  std::span<const ExtentRecord> extents;
  std::span<const ChunkRecord> chunks;
  std::span<const XattrRecord> xattrs;
  std::span<const uint32_t> xattr_refs;
  std::string_view names;
};

/// Header and sections: the blob is of a version we know, whole, and its sections lie in it one after
/// another. Gives the header.
BlobHeader check_blob_layout(ByteSpan blob);

/// Every record. Entries, extents and xattr_refs are used exactly once, in the order of inodes.
void check_blob_records(const BlobView& blob, uint64_t total_bytes);

}  // namespace coldstart
