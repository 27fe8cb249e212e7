// SPDX-License-Identifier: Apache-2.0
#include "core/image/reader.h"

#include <algorithm>

#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/blob_check.h"

namespace coldstart {

ImageReader::ImageReader(Bytes blob) : owner_(std::move(blob)), blob_(std::get<Bytes>(owner_)) {
  open(Checked::now);
}

ImageReader::ImageReader(FileMapping blob, Checked checked)
    : owner_(std::move(blob)), blob_(std::get<FileMapping>(owner_).bytes()) {
  open(checked);
}

namespace {

/// The records of one section, once its place in the blob has been checked.
template <class T>
std::span<const T> section(ByteSpan blob, const BlobHeader& header, Section which) {
  const SectionRange& range = header.sections[static_cast<size_t>(which)];
  return {reinterpret_cast<const T*>(blob.data() + range.offset), static_cast<size_t>(range.count)};
}

}  // namespace

void ImageReader::open(Checked checked) {
  const BlobHeader header = check_blob_layout(blob_);
  inodes_ = section<InodeRecord>(blob_, header, Section::inodes);
  entries_ = section<EntryRecord>(blob_, header, Section::entries);
  extents_ = section<ExtentRecord>(blob_, header, Section::extents);
  chunks_ = section<ChunkRecord>(blob_, header, Section::chunks);
  xattrs_ = section<XattrRecord>(blob_, header, Section::xattrs);
  xattr_refs_ = section<uint32_t>(blob_, header, Section::xattr_refs);
  const auto names = section<char>(blob_, header, Section::names);
  names_ = {names.data(), names.size()};
  if (checked == Checked::before) return;
  check_blob_records({inodes_, entries_, extents_, chunks_, xattrs_, xattr_refs_, names_},
                     header.total_bytes);
}

uint32_t ImageReader::inode_count() const {
  return static_cast<uint32_t>(inodes_.size());
}

uint64_t ImageReader::total_bytes() const {
  return load<BlobHeader>(blob_.data()).total_bytes;
}

const InodeRecord& ImageReader::inode(uint32_t number) const {
  return inodes_[number - 1];
}

bool ImageReader::valid(uint64_t number) const {
  return number >= 1 && number <= inodes_.size();
}

std::span<const EntryRecord> ImageReader::entries(const InodeRecord& folder) const {
  return S_ISDIR(folder.mode) ? entries_.subspan(folder.first, folder.count) : std::span<const EntryRecord>();
}

std::string_view ImageReader::name(const EntryRecord& entry) const {
  return names_.substr(entry.name, entry.name_length);
}

uint32_t ImageReader::lookup(const InodeRecord& folder, std::string_view wanted) const {
  const auto all = entries(folder);
  const auto at = std::lower_bound(all.begin(), all.end(), wanted,
                                   [&](const EntryRecord& e, std::string_view n) { return name(e) < n; });
  return at != all.end() && name(*at) == wanted ? at->inode : 0;
}

uint32_t ImageReader::find(std::string_view path) const {
  uint32_t at = root_inode;
  while (at != 0 && !path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) at = lookup(inode(at), path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return at;
}

std::span<const ExtentRecord> ImageReader::extents(const InodeRecord& file) const {
  return S_ISREG(file.mode) ? extents_.subspan(file.first, file.count) : std::span<const ExtentRecord>();
}

std::span<const ExtentRecord> ImageReader::extents(const InodeRecord& file, uint64_t offset,
                                                   uint64_t length) const {
  const auto all = extents(file);
  const uint64_t end = length > UINT64_MAX - offset ? UINT64_MAX : offset + length;
  const auto first = std::partition_point(all.begin(), all.end(), [&](const ExtentRecord& e) {
    return e.offset + chunks_[e.chunk].length <= offset;
  });
  const auto last =
      std::partition_point(first, all.end(), [&](const ExtentRecord& e) { return e.offset < end; });
  return {first, last};
}

std::string_view ImageReader::target(const InodeRecord& symlink) const {
  return S_ISLNK(symlink.mode) ? names_.substr(symlink.first, symlink.size) : std::string_view();
}

std::span<const ChunkRecord> ImageReader::chunks() const {
  return chunks_;
}

ImageReader::Xattr ImageReader::xattr(const InodeRecord& inode, size_t index) const {
  return xattr(xattrs_[xattr_refs_[inode.xattrs + index]]);
}

ImageReader::Xattr ImageReader::xattr(const XattrRecord& attribute) const {
  return {names_.substr(attribute.name, attribute.name_length),
          names_.substr(attribute.value, attribute.value_length)};
}

}  // namespace coldstart
