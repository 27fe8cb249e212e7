// SPDX-License-Identifier: Apache-2.0
#include "core/memory/memory_content.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/mman.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

// What was read and may be wanted again: the rest of a chunk of which a fault took a piece.
constexpr uint64_t most_kept = uint64_t{64} << 20;

}  // namespace

MemoryContent::MemoryContent(std::shared_ptr<Store> store, std::vector<MemoryChunk> chunks,
                             const Digest& name)
    : store_(std::move(store)), chunks_(std::move(chunks)) {
  uint64_t start = 0;
  for (size_t i = 0; i < chunks_.size(); ++i) {
    starts_.push_back(start);
    numbers_.emplace(chunks_[i].digest, i);
    start += chunks_[i].bytes;
  }
  starts_.push_back(start);
  folder_ = ImagesCache(store_->root()).find(name);
  if (!folder_ || start == 0) return;
  file_ = FileMapping(folder_->path() / memory_content_file);
  if (file_.bytes().size() == start) return;
  log::warn("{} has a wrong size: it is not used", (folder_->path() / memory_content_file).string());
  folder_.reset();
}

ByteSpan MemoryContent::view(uint64_t offset, uint64_t size, MutableByteSpan scratch) {
  if (is_file()) {
    const ByteSpan bytes = file_.bytes().subspan(offset, size);
    // Page tables for the whole view at once instead of by one fault a page, and reading errors told here.
    // Old kernels (before 5.14) lack the call: there the faults have to do.
    const auto first = reinterpret_cast<uintptr_t>(bytes.data()) & ~uintptr_t{4095};
    if (::madvise(reinterpret_cast<void*>(first), size, 22 /* MADV_POPULATE_READ */) != 0 && errno != EINVAL)
      throw Error::sys(fmt::format("cannot read {}", (folder_->path() / memory_content_file).string()),
                       "the file was damaged or truncated after the restore began", Exit::corrupt);
    return bytes;
  }
  auto number =
      static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), offset) - starts_.begin()) - 1;
  for (uint64_t done = 0; done < size; ++number) {
    const Kept bytes = chunk(number);
    const uint64_t skip = offset + done - starts_[number];
    const uint64_t n = std::min<uint64_t>(size - done, bytes->size() - skip);
    std::memcpy(scratch.data() + done, bytes->data() + skip, n);
    done += n;
  }
  return scratch.first(size);
}

MemoryContent::Kept MemoryContent::chunk(size_t number) {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto [it, is_new] = entries_.try_emplace(number);
    if (is_new) break;
    if (it->second.bytes) {
      ages_.splice(ages_.end(), ages_, it->second.age);
      return it->second.bytes;
    }
    loaded_.wait(lock);
  }
  lock.unlock();
  Kept bytes;
  const auto give_up = [&] {
    const std::lock_guard again(mutex_);
    entries_.erase(number);
    loaded_.notify_all();
  };
  try {
    bytes = load(number);
  } catch (...) {
    give_up();
    throw;
  }
  return bytes;
}

/// Reads the frame that the chunk is in, and keeps what else of ours is there.
MemoryContent::Kept MemoryContent::load(size_t number) {
  Kept wanted;
  std::vector<std::pair<size_t, Kept>> all;
  store_->read_frame(chunks_[number].digest, [&](const Digest& digest, ByteSpan bytes) {
    const auto it = numbers_.find(digest);
    if (it == numbers_.end()) return;
    if (bytes.size() != chunks_[it->second].bytes)
      throw Error::corrupt("the chunk " + digest.text() + " has another length than its snapshot says");
    all.emplace_back(it->second, std::make_shared<const Bytes>(bytes.begin(), bytes.end()));
    if (it->second == number) wanted = all.back().second;
  });
  if (!wanted)
    throw Error::corrupt("the chunk " + chunks_[number].digest.text() + " is not where the store says");
  const std::lock_guard lock(mutex_);
  for (auto& [n, bytes] : all) keep_locked(n, std::move(bytes));
  while (kept_bytes_ > most_kept && ages_.front() != number) {
    const auto oldest = entries_.find(ages_.front());
    kept_bytes_ -= oldest->second.bytes->size();
    ages_.pop_front();
    entries_.erase(oldest);
  }
  loaded_.notify_all();
  return wanted;
}

void MemoryContent::keep_locked(size_t number, Kept bytes) {
  Entry& entry = entries_[number];
  if (entry.bytes) return;
  kept_bytes_ += bytes->size();
  entry.bytes = std::move(bytes);
  entry.age = ages_.insert(ages_.end(), number);
}

}  // namespace coldstart
