// SPDX-License-Identifier: Apache-2.0
#pragma once
// Laying a metadata blob out. Knows where sections go, not what they mean: that is the builder's part, and
// ImageReader checks it.

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/image/format.h"

namespace coldstart {

/// The sections of a blob in the making. inodes[0] is inode 1.
struct BlobSections {
  uint64_t total_bytes = 0;
  std::vector<InodeRecord> inodes;
  std::vector<EntryRecord> entries;
  std::vector<ExtentRecord> extents;
  std::vector<ChunkRecord> chunks;
  std::vector<XattrRecord> xattrs;
  std::vector<uint32_t> xattr_refs;
  std::string names;

  /// Appends to names; gives the offset.
  uint64_t add_text(std::string_view text);
  Bytes assemble() const;
};

/// Where a section that follows `end` bytes begins.
constexpr uint64_t section_start(uint64_t end) {
  return (end + 7) & ~uint64_t{7};
}

/// Bytes of one record of each section, in their order.
inline constexpr std::array<uint64_t, static_cast<size_t>(Section::count)> record_bytes = {
    sizeof(InodeRecord),
    sizeof(EntryRecord),
    sizeof(ExtentRecord),
    sizeof(ChunkRecord),
    sizeof(XattrRecord),
    sizeof(uint32_t),
    1};

}  // namespace coldstart
