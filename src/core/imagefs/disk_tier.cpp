// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/disk_tier.h"

#include <algorithm>

#include <sys/file.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/imagefs/file_content.h"

namespace coldstart {

bool DiskTier::File::read(size_t index, uint64_t skip, MutableByteSpan into) const {
  if (complete_) return read_complete(extents_[index], skip, into);
  return partial_ && read_partial(index, skip, into);
}

bool DiskTier::File::read_complete(const ExtentRecord& extent, uint64_t skip, MutableByteSpan into) const {
  struct stat status {};
  try {
    // Looked at after the bytes were taken, so nobody has written to it before.
    return pread_full(complete_.get(), into, static_cast<off_t>(extent.offset + skip)) == into.size() &&
           ::fstat(complete_.get(), &status) == 0 && status.st_nlink > 0 &&
           status.st_mtim.tv_sec <= FileCache::last_seal_second;
  } catch (const Error& e) {
    log::warn("{}", e.what());
    return false;
  }
}

bool DiskTier::File::read_partial(size_t index, uint64_t skip, MutableByteSpan into) const {
  if (!partial_->has(index)) return false;
  const ExtentRecord& extent = extents_[index];
  bool untouched = false;
  if (!partial_->read(extent.offset + skip, into, &untouched)) return false;
  if (untouched) return true;
  outdated_.store(true, std::memory_order_relaxed);
  // Complete by now, or touched by a stranger. Only the whole chunk can tell.
  const ChunkRecord& chunk = image_->chunks()[extent.chunk];
  Bytes whole(chunk.length);
  if (partial_->read(extent.offset, whole, &untouched) && Digest::of(whole) == ImageReader::digest(chunk)) {
    std::copy_n(whole.begin() + static_cast<ptrdiff_t>(skip), into.size(), into.begin());
    return true;
  }
  log::warn("{} has wrong bytes at {}: they are fetched anew", partial_->path().string(), extent.offset);
  partial_->forget(index);
  return false;
}

std::shared_ptr<const DiskTier::File> DiskTier::find(uint32_t inode) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = index_.find(inode); found != index_.end()) {
      known_.splice(known_.begin(), known_, found->second);
      return found->second->file;
    }
  }
  std::shared_ptr<const File> file;
  try {
    file = open(inode);
  } catch (const Error& e) {
    log::debug("{}", e.what());
  }
  if (!file) return nullptr;
  const std::lock_guard lock(mutex_);
  if (index_.contains(inode)) return file;
  known_.push_front({inode, file});
  index_.emplace(inode, known_.begin());
  if (known_.size() > most_open) {
    index_.erase(known_.back().inode);
    known_.pop_back();
  }
  return file;
}

std::shared_ptr<const DiskTier::File> DiskTier::open(uint32_t inode) {
  const InodeRecord& record = image_.inode(inode);
  auto file = std::make_shared<File>();
  file->image_ = &image_;
  file->extents_ = image_.extents(record);
  const Digest content = content_name(image_, record);
  file->complete_ = cache_.find(content, record.size);
  // We can do without it at any time, so we do not pin it.
  if (file->complete_) ::flock(file->complete_.get(), LOCK_UN);
  if (!file->complete_ && file->extents_.size() > 1)
    file->partial_ = cache_.partial(content, record.size, file->extents_.size(), false);
  if (!file->complete_ && !file->partial_) return nullptr;
  return file;
}

void DiskTier::forget(uint32_t inode) {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(inode);
  if (found == index_.end()) return;
  known_.erase(found->second);
  index_.erase(found);
}

}  // namespace coldstart
