// SPDX-License-Identifier: Apache-2.0
#include "core/image/blob_check.h"

#include <vector>

#include <fmt/format.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/blob.h"

namespace coldstart {

namespace {

template <class... Args>
[[noreturn]] void bad(fmt::format_string<Args...> what, Args&&... args) {
  throw Error::corrupt("image metadata: " + fmt::format(what, std::forward<Args>(args)...));
}

/// Walks all records once, in the order of inodes.
class Checker {
 public:
  explicit Checker(const BlobView& blob)
      : blob_(blob), used_(blob.inodes.size()), depth_(blob.inodes.size()) {}

  void run(uint64_t total_bytes) {
    if (blob_.inodes.size() > max_inodes) bad("it claims {} inodes", blob_.inodes.size());
    if (blob_.inodes.empty() || !S_ISDIR(blob_.inodes[0].mode)) bad("the root is no folder");
    if (blob_.inodes[0].parent != root_inode) bad("the root's parent is not the root");
    for (size_t i = 0; i < blob_.chunks.size(); ++i)
      if (blob_.chunks[i].length == 0 || blob_.chunks[i].length > max_chunk_bytes)
        bad("chunk {} has {} bytes", i, blob_.chunks[i].length);
    xattrs();
    for (number_ = root_inode; number_ <= blob_.inodes.size(); ++number_) inode(blob_.inodes[number_ - 1]);
    links();
    if (next_entry_ != blob_.entries.size() || next_extent_ != blob_.extents.size() ||
        next_xattr_ != blob_.xattr_refs.size())
      bad("there are records that no inode uses");
    if (bytes_ != total_bytes) bad("files have {} bytes, the header says {}", bytes_, total_bytes);
  }

 private:
  std::string_view text(uint64_t offset, uint64_t length, const char* what) const {
    if (offset > blob_.names.size() || length > blob_.names.size() - offset)
      bad("the {} of inode {} lies outside of the names", what, number_);
    return blob_.names.substr(offset, length);
  }

  void xattrs() const {
    for (const XattrRecord& x : blob_.xattrs) {
      const std::string_view name = text(x.name, x.name_length, "attribute's name");
      if (name.empty() || name.size() > max_name_bytes || name.find('\0') != name.npos)
        bad("an attribute has a wrong name");
      if (x.value_length > max_xattr_value_bytes) bad("an attribute has {} bytes", x.value_length);
      text(x.value, x.value_length, "attribute's value");
    }
    for (const uint32_t ref : blob_.xattr_refs)
      if (ref >= blob_.xattrs.size()) bad("there is no attribute {}", ref);
  }

  void inode(const InodeRecord& i) {
    if (i.mtime_ns >= 1'000'000'000) bad("inode {} has {} nanoseconds", number_, i.mtime_ns);
    if (i.xattrs != next_xattr_ || i.xattr_count > blob_.xattr_refs.size() - next_xattr_)
      bad("the attributes of inode {} are out of order", number_);
    next_xattr_ += i.xattr_count;
    switch (i.mode & S_IFMT) {
      case S_IFDIR:
        return folder(i);
      case S_IFREG:
        return file(i);
      case S_IFLNK: {
        const std::string_view target = text(i.first, i.size, "target");
        if (target.empty() || target.size() > max_target_bytes || target.find('\0') != target.npos)
          bad("inode {} has a wrong target", number_);
        break;
      }
      case S_IFCHR:
      case S_IFBLK:
      case S_IFIFO:
      case S_IFSOCK:
        break;
      default:
        bad("inode {} has the mode {:o}", number_, i.mode);
    }
    if (i.count != 0) bad("inode {} has {} records it cannot have", number_, i.count);
  }

  /// A folder comes after its parent and is in it exactly once, so there are no cycles.
  void folder(const InodeRecord& i) {
    if (i.first != next_entry_ || i.count > blob_.entries.size() - next_entry_)
      bad("the entries of folder {} are out of order", number_);
    std::string_view before;
    for (const EntryRecord& e : blob_.entries.subspan(next_entry_, i.count)) {
      const std::string_view name = text(e.name, e.name_length, "entry's name");
      if (name.empty() || name.size() > max_name_bytes || name == "." || name == ".." ||
          name.find('/') != name.npos || name.find('\0') != name.npos)
        bad("folder {} has an entry with a wrong name", number_);
      if (name <= before) bad("the entries of folder {} are not sorted", number_);
      before = name;
      entry(e.inode);
    }
    next_entry_ += i.count;
  }

  void entry(uint32_t child) {
    if (child <= root_inode || child > blob_.inodes.size()) bad("folder {} leads to no inode", number_);
    ++used_[child - 1];
    const InodeRecord& c = blob_.inodes[child - 1];
    if (!S_ISDIR(c.mode)) return;
    if (c.parent != number_ || child <= number_) bad("folder {} is not where it says", child);
    depth_[child - 1] = depth_[number_ - 1] + 1;
    if (depth_[child - 1] > max_depth) bad("folders are nested deeper than {}", max_depth);
  }

  void file(const InodeRecord& i) {
    if (i.size > INT64_MAX || i.size > UINT64_MAX - bytes_) bad("file {} has {} bytes", number_, i.size);
    bytes_ += i.size;
    if (i.first != next_extent_ || i.count > blob_.extents.size() - next_extent_)
      bad("the extents of file {} are out of order", number_);
    uint64_t end = 0;
    for (const ExtentRecord& e : blob_.extents.subspan(next_extent_, i.count)) {
      if (e.chunk >= blob_.chunks.size()) bad("file {} leads to no chunk", number_);
      const uint64_t length = blob_.chunks[e.chunk].length;
      if (e.offset < end || e.offset > i.size || length > i.size - e.offset)
        bad("the extents of file {} overlap or leave it", number_);
      end = e.offset + length;
    }
    next_extent_ += i.count;
  }

  void links() {
    for (number_ = root_inode; number_ <= blob_.inodes.size(); ++number_) {
      const InodeRecord& i = blob_.inodes[number_ - 1];
      const uint32_t used = used_[number_ - 1];
      const bool right = number_ == root_inode ? used == 0
                         : S_ISDIR(i.mode)     ? used == 1
                                               : used == i.links && used > 0;
      if (!right) bad("inode {} is in {} places", number_, used);
    }
  }

  const BlobView& blob_;
  std::vector<uint32_t> used_;   // entries that lead to each inode
  std::vector<uint32_t> depth_;  // of folders
  uint32_t number_ = 0;          // the inode being checked
  size_t next_entry_ = 0, next_extent_ = 0, next_xattr_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace

BlobHeader check_blob_layout(ByteSpan blob) {
  if (blob.size() < sizeof(BlobHeader)) bad("{} bytes are too few", blob.size());
  const auto header = load<BlobHeader>(blob.data());
  if (header.magic != blob_magic) bad("it does not begin as such");
  if (header.version != blob_version)
    throw Error::corrupt(fmt::format("image metadata: it is of version {}, this program reads version {}",
                                     header.version, blob_version),
                         header.version > blob_version ? "use a newer coldstart" : "");
  uint64_t end = sizeof header;
  for (size_t i = 0; i < record_bytes.size(); ++i) {
    const SectionRange& range = header.sections[i];
    const uint64_t start = section_start(end);
    if (range.offset != start || start > blob.size() || range.count > (blob.size() - start) / record_bytes[i])
      bad("section {} lies outside of its {} bytes", i, blob.size());
    end = start + range.count * record_bytes[i];
  }
  if (end != blob.size()) bad("it has {} bytes, its sections {}", blob.size(), end);
  return header;
}

void check_blob_records(const BlobView& blob, uint64_t total_bytes) {
  Checker(blob).run(total_bytes);
}

}  // namespace coldstart
