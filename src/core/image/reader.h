// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reading the metadata blob of an image.

#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "core/base/files.h"
#include "core/image/format.h"
#include "core/store/digest.h"

namespace coldstart {

/// A checked view of a blob. Immutable, so thread-safe. After the constructor has passed, no accessor can
/// leave the blob: all indexes, offsets and orders were checked (every inode, entry, extent and name).
/// Spans and string_views point into the blob and live as long as the reader.
class ImageReader {
 public:
  /// Owns `blob`. Throws Error::corrupt naming what is wrong and where.
  explicit ImageReader(Bytes blob);
  /// A mapping whose records were checked `before`, by this program and in this form, is only looked at from
  /// outside.
  enum class Checked { now, before };
  explicit ImageReader(FileMapping blob, Checked checked = Checked::now);
  ImageReader(ImageReader&&) noexcept = default;
  ImageReader& operator=(ImageReader&&) noexcept = default;

  ByteSpan blob() const { return blob_; }
  uint32_t inode_count() const;  ///< inodes are 1 … inode_count()
  uint64_t total_bytes() const;
  const InodeRecord& inode(uint32_t number) const;  ///< `number` must be in range
  bool valid(uint64_t number) const;

  std::span<const EntryRecord> entries(const InodeRecord& folder) const;
  std::string_view name(const EntryRecord& entry) const;
  /// The inode of `name` in `folder`, or 0. Binary search.
  uint32_t lookup(const InodeRecord& folder, std::string_view name) const;
  /// By path from the root ("usr/bin/python3", a leading slash is fine; symlinks are not followed), or 0.
  uint32_t find(std::string_view path) const;

  std::span<const ExtentRecord> extents(const InodeRecord& file) const;
  /// The extents that overlap [offset, offset + length).
  std::span<const ExtentRecord> extents(const InodeRecord& file, uint64_t offset, uint64_t length) const;
  std::string_view target(const InodeRecord& symlink) const;

  std::span<const ChunkRecord> chunks() const;
  static Digest digest(const ChunkRecord& chunk) { return Digest{chunk.digest}; }

  struct Xattr {
    std::string_view name;
    std::string_view value;
  };
  size_t xattr_count(const InodeRecord& inode) const { return inode.xattr_count; }
  Xattr xattr(const InodeRecord& inode, size_t index) const;
  /// The different attributes of the whole image: few, as equal ones are shared.
  std::span<const XattrRecord> xattr_kinds() const { return xattrs_; }
  Xattr xattr(const XattrRecord& attribute) const;

 private:
  void open(Checked checked);
  std::variant<Bytes, FileMapping> owner_;
  ByteSpan blob_;
  std::span<const InodeRecord> inodes_;
  std::span<const EntryRecord> entries_;
  std::span<const ExtentRecord> extents_;
  std::span<const ChunkRecord> chunks_;
  std::span<const XattrRecord> xattrs_;
  std::span<const uint32_t> xattr_refs_;
  std::string_view names_;
};

}  // namespace coldstart
