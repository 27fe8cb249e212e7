// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/file_reader.h"

#include <algorithm>
#include <cerrno>

#include <sys/stat.h>

#include "core/image/elf.h"

namespace coldstart {

namespace {

constexpr size_t zero_page_bytes = size_t{64} << 10;

void add_zeros(Gather& to, uint64_t count) {
  // On the heap and filled: a page that were not there yet when a kill -9 comes while the kernel copies it
  // out would fail the reader.
  static const Bytes zeros(zero_page_bytes);
  to.bytes += count;
  while (count > 0) {
    const size_t now = std::min<uint64_t>(count, zeros.size());
    to.pieces.push_back({const_cast<std::byte*>(zeros.data()), now});
    count -= now;
  }
}

}  // namespace

bool Gather::is_elf() const {
  return !pieces.empty() &&
         coldstart::is_elf({static_cast<const std::byte*>(pieces[0].iov_base), pieces[0].iov_len});
}

Gather FileReader::read(uint32_t inode, uint64_t offset, size_t size) {
  Gather result;
  const InodeRecord& file = image_.inode(inode);
  if (offset >= file.size) return result;
  const uint64_t end = offset + std::min<uint64_t>(size, file.size - offset);
  uint64_t at = offset;
  const auto extents = image_.extents(file, offset, end - offset);
  const std::shared_ptr<const DiskTier::File> on_disk = disk_ != nullptr ? disk_->find(inode) : nullptr;
  if (!on_disk && !extents.empty()) load(extents.subspan(1));  // a reader waits for all of them
  result.cached_whole = on_disk && on_disk->complete();
  for (const ExtentRecord& extent : extents) {
    if (extent.offset > at) {
      add_zeros(result, extent.offset - at);
      at = extent.offset;
    }
    uint64_t skip = at - extent.offset;
    const size_t count = std::min<uint64_t>(end - at, length(extent) - skip);
    Chunk bytes = on_disk ? from_disk(inode, *on_disk, extent, skip, count) : nullptr;
    if (bytes)
      skip = 0;
    else
      bytes = from_memory_or_store(image_.chunks()[extent.chunk]);
    result.pieces.push_back({const_cast<std::byte*>(bytes->data() + skip), count});
    result.bytes += count;
    at += count;
    result.chunks.push_back(std::move(bytes));
  }
  add_zeros(result, end - at);
  return result;
}

Chunk FileReader::from_disk(uint32_t inode, const DiskTier::File& file, const ExtentRecord& extent,
                            uint64_t skip, size_t count) {
  auto bytes = std::make_shared<Bytes>(count);
  const auto index = static_cast<size_t>(&extent - image_.extents(image_.inode(inode)).data());
  const bool read = file.read(index, skip, *bytes);
  if (file.outdated() || (file.complete() && !read)) disk_->forget(inode);
  if (!read) return nullptr;
  metrics_.disk.add(count);
  return bytes;
}

Chunk FileReader::from_memory_or_store(const ChunkRecord& chunk) {
  if (Chunk known = cache_.peek(ImageReader::digest(chunk))) {
    metrics_.memory.add(chunk.length);
    return known;
  }
  return cache_.get(chunk);
}

bool FileReader::on_disk(uint32_t inode) {
  return disk_ != nullptr && disk_->find(inode) != nullptr;
}

void FileReader::expect(uint32_t inode, uint64_t offset, uint64_t bytes) {
  const InodeRecord& file = image_.inode(inode);
  if (offset < file.size && !on_disk(inode))
    load(image_.extents(file, offset, std::min(bytes, file.size - offset)));
}

void FileReader::load(std::span<const ExtentRecord> extents) {
  for (const ExtentRecord& extent : extents) {
    const ChunkRecord& chunk = image_.chunks()[extent.chunk];
    if (!cache_.lacks(chunk)) continue;
    const bool taken = helpers_.offer([this, &chunk] {
      try {
        cache_.get(chunk);
      } catch (const std::exception&) {
        // The reader gets the same failure, or a better outcome, when it asks for this chunk itself.
      }
    });
    if (!taken) return;
  }
}

off_t FileReader::seek(const InodeRecord& file, uint64_t offset, bool data) const {
  if (offset >= file.size) return -ENXIO;
  uint64_t at = offset;
  for (const ExtentRecord& extent : image_.extents(file, offset, file.size - offset)) {
    if (extent.offset > at) return static_cast<off_t>(data ? extent.offset : at);
    if (data) return static_cast<off_t>(at);
    at = extent.offset + length(extent);
  }
  if (data) return -ENXIO;
  return static_cast<off_t>(std::min(at, file.size));
}

uint64_t FileReader::allocated(const InodeRecord& file) const {
  uint64_t sum = 0;
  for (const ExtentRecord& extent : image_.extents(file)) sum += length(extent);
  return sum;
}

namespace {

/// The folder that has the entry number `index` of the whole image, and the entry.
std::pair<uint32_t, const EntryRecord*> entry_of(const ImageReader& image, uint32_t inode) {
  for (uint32_t folder = 1; folder <= image.inode_count(); ++folder)
    for (const EntryRecord& entry : image.entries(image.inode(folder)))
      if (entry.inode == inode) return {folder, &entry};
  return {0, nullptr};
}

}  // namespace

std::string path_in_image(const ImageReader& image, uint32_t inode) {
  std::string path;
  while (inode != root_inode) {
    const auto [folder, entry] = entry_of(image, inode);
    if (entry == nullptr) break;
    path.insert(0, "/" + std::string(image.name(*entry)));
    inode = folder;
  }
  return path.empty() ? "/" : path;
}

}  // namespace coldstart
