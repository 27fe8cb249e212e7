// SPDX-License-Identifier: Apache-2.0
#pragma once
// The metadata blob of an image: the whole tree, without the files' bytes, in one piece that is mapped
// and used as it is. Little-endian, fixed-size records, sections in the order of BlobHeader::sections, each
// 8-byte aligned. docs/format.md draws it. Everything that reads a blob goes through ImageReader, which
// checks all bounds once, at opening.
//
// Inodes are numbered from 1 (the root) in the order of a depth-first walk with names sorted bytewise, so
// the same tree always gives the same blob. A file's bytes are its extents; what no extent covers is a
// hole. An extent is one chunk of the store, whole.

#include <array>
#include <cstdint>

namespace coldstart {

inline constexpr std::array<char, 8> blob_magic = {'c', 's', 'i', 'm', 'a', 'g', 'e', '\0'};
inline constexpr uint32_t blob_version = 1;
inline constexpr uint32_t root_inode = 1;
/// In the store a blob is cut into chunks of this size; the last one is what is left.
inline constexpr size_t blob_chunk_bytes = size_t{1} << 20;

enum class Section : uint32_t { inodes, entries, extents, chunks, xattrs, xattr_refs, names, count };

struct SectionRange {
  uint64_t offset;  ///< bytes from the start of the blob
  uint64_t count;   ///< records (bytes, for names)
};

struct BlobHeader {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t reserved;
  uint64_t total_bytes;  ///< of file content, hard links counted once
  std::array<SectionRange, static_cast<size_t>(Section::count)> sections;
};

static_assert(sizeof(BlobHeader) == 136);

struct InodeRecord {
  uint32_t mode;  ///< type and permission bits, as in stat(2)
  uint32_t uid;
  uint32_t gid;
  uint32_t links;
  uint64_t size;  ///< bytes; of a symlink: its target's length
  int64_t mtime;  ///< seconds
  uint32_t mtime_ns;
  uint32_t device;  ///< of a device node: makedev(major, minor) as the kernel's 32-bit encoding
  uint64_t first;   ///< folder: first entry; file: first extent; symlink: target's offset in names
  uint32_t count;   ///< entries, or extents
  uint32_t parent;  ///< folders: inode of the parent; else 0
  uint32_t xattrs;  ///< first of its xattr_refs
  uint32_t xattr_count;
};
static_assert(sizeof(InodeRecord) == 64);

/// One name in a folder; a folder's entries are contiguous and sorted bytewise.
struct EntryRecord {
  uint32_t inode;
  uint32_t name_length;
  uint64_t name;  ///< offset in names
};
static_assert(sizeof(EntryRecord) == 16);

/// `chunks[chunk]`, whole, stands at `offset` in the file. A file's extents are sorted and disjoint.
struct ExtentRecord {
  uint64_t offset;
  uint32_t chunk;
  uint32_t reserved;
};
static_assert(sizeof(ExtentRecord) == 16);

struct ChunkRecord {
  std::array<uint8_t, 32> digest;
  uint32_t length;  ///< bytes
  uint32_t reserved;
};
static_assert(sizeof(ChunkRecord) == 40);

/// One extended attribute (name with its prefix, e.g. "security.capability"); equal ones are shared.
/// xattr_refs is an array of uint32_t indexes into this section.
struct XattrRecord {
  uint64_t name;
  uint64_t value;
  uint32_t name_length;
  uint32_t value_length;
};
static_assert(sizeof(XattrRecord) == 24);

}  // namespace coldstart
