// SPDX-License-Identifier: Apache-2.0
#include "core/memory/memory_content.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <sys/mman.h>

#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/memory/pending_pages.h"

namespace coldstart {

namespace {

// What is kept of what was read: the rest of a chunk of which a fault took a piece, and what was read ahead.
constexpr uint64_t least_kept = uint64_t{64} << 20;
constexpr uint64_t largest_kept = uint64_t{1} << 30;

// How many chunks an origin is asked for at once: some 16 MiB.
constexpr size_t batch_chunks = 96;

/// Page tables for all of it at once instead of by one fault a page, and reading errors told here. Old
/// kernels (before 5.14) lack the call: there the faults have to do.
int populate(ByteSpan bytes) {
  const std::byte* first = bytes.data() - reinterpret_cast<uintptr_t>(bytes.data()) % page_size;
  return ::madvise(const_cast<std::byte*>(first), bytes.size(), 22 /* MADV_POPULATE_READ */);
}

}  // namespace

MemoryContent::MemoryContent(std::shared_ptr<Store> store, const MemoryMap& map, const Digest& name)
    : store_(std::move(store)),
      chunks_(map.chunks),
      most_kept_(std::clamp(available_memory() / 16, least_kept, largest_kept)) {
  uint64_t start = 0;
  starts_.reserve(chunks_.size() + 1);
  for (const MemoryChunk& chunk : chunks_) {
    starts_.push_back(start);
    start += chunk.bytes;
  }
  starts_.push_back(start);
  folder_ = ImagesCache(store_->root()).find(name);
  if (folder_ && start != 0) {
    file_ = FileMapping(folder_->path() / memory_content_file);
    if (file_.bytes().size() == start) return;
    log::warn("{} has a wrong size: it is not used", (folder_->path() / memory_content_file).string());
    folder_.reset();
  }
  numbers_.reserve(chunks_.size());
  for (size_t i = 0; i < chunks_.size(); ++i) numbers_.emplace(chunks_[i].digest, i);
  left_.resize(chunks_.size());
  for (const ProcessMemory& process : map.processes)
    for (const MemoryRun& run : process.runs) {
      const uint64_t end = (uint64_t{run.content} + run.pages) * page_size;
      for (uint64_t at = uint64_t{run.content} * page_size; at < end;) {
        const size_t n = chunk_at(at);
        const uint64_t next = std::min(end, starts_[n + 1]);
        left_[n] += next - at;
        at = next;
      }
    }
}

ByteSpan MemoryContent::view(uint64_t offset, uint64_t size, MutableByteSpan scratch) {
  if (is_file()) {
    const ByteSpan bytes = file_.bytes().subspan(offset, size);
    if (populate(bytes) != 0 && errno != EINVAL)
      throw Error::sys(fmt::format("cannot read {}", (folder_->path() / memory_content_file).string()),
                       "the file was damaged or truncated after the restore began", Exit::corrupt);
    return bytes;
  }
  size_t number = chunk_at(offset);
  for (uint64_t done = 0; done < size; ++number) {
    const Kept bytes = chunk(number);
    const uint64_t skip = offset + done - starts_[number];
    const uint64_t n = std::min<uint64_t>(size - done, bytes->size() - skip);
    std::memcpy(scratch.data() + done, bytes->data() + skip, n);
    done += n;
    viewed(number, n);
  }
  return scratch.first(size);
}

/// The number of the chunk that has this byte.
size_t MemoryContent::chunk_at(uint64_t offset) const {
  return static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), offset) - starts_.begin()) - 1;
}

void MemoryContent::prefetch(const std::vector<Extent>& first, const std::function<bool()>& stop,
                             const Arrived& arrived) {
  if (is_far()) return prefetch_from_origin(first, stop, arrived);
  for (const Extent& extent : first) {
    if (stop()) return;
    if (is_file()) {
      populate(file_.bytes().subspan(extent.offset, extent.bytes));
      continue;
    }
    for (size_t n = chunk_at(extent.offset); n < chunks_.size() && starts_[n] < extent.offset + extent.bytes;
         ++n) {
      {
        const std::lock_guard lock(mutex_);
        if (kept_bytes_ + chunks_[n].bytes > most_kept_) return;
        if (left_[n] == 0) continue;
      }
      chunk(n);
    }
  }
}

void MemoryContent::prefetch_from_origin(const std::vector<Extent>& first, const std::function<bool()>& stop,
                                         const Arrived& arrived) {
  std::vector<bool> seen(chunks_.size());
  std::vector<Digest> lacking;
  std::vector<Extent> batch;
  const auto want = [&](size_t n) {
    if (seen[n]) return;
    seen[n] = true;
    if (!batch.empty() && batch.back().offset + batch.back().bytes == starts_[n])
      batch.back().bytes += chunks_[n].bytes;
    else
      batch.push_back({starts_[n], chunks_[n].bytes});
    if (!store_->has_here(chunks_[n].digest)) lacking.push_back(chunks_[n].digest);
  };
  const auto fetch = [&](const Arrived& tell) {
    if (!lacking.empty() && !stop()) store_->prefetch(lacking);
    if (tell && !batch.empty()) tell(batch);
    lacking.clear();
    batch.clear();
  };
  for (const Extent& extent : first)
    for (size_t n = chunk_at(extent.offset); n < chunks_.size() && starts_[n] < extent.offset + extent.bytes;
         ++n) {
      want(n);
      if (lacking.size() >= batch_chunks) fetch(nullptr);
    }
  fetch(nullptr);
  // The rest from where somebody waits: who reads goes on there most likely.
  size_t waited_at = 0;
  size_t next = 0;
  for (size_t passed = 0; passed < chunks_.size() && !stop(); ++passed) {
    if (const size_t now = read_at_; now != waited_at) {
      next = waited_at = now;
      passed = 0;
    }
    want(next);
    if (lacking.size() >= batch_chunks) fetch(arrived);
    next = next + 1 < chunks_.size() ? next + 1 : 0;
  }
  fetch(arrived);
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
    // Another thread may have brought it with its frame meanwhile: then it stays.
    if (const auto it = entries_.find(number); it != entries_.end() && !it->second.bytes) entries_.erase(it);
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
  bool came = false;
  const auto take = [&](const Digest& digest, ByteSpan bytes) {
    const auto [first, last] = numbers_.equal_range(digest);
    for (auto it = first; it != last; ++it) {
      const MemoryChunk& chunk = chunks_[it->second];
      if (bytes.size() < uint64_t{chunk.skip} + chunk.bytes)
        throw Error::corrupt("the chunk " + digest.text() + " is shorter than its snapshot says");
      const ByteSpan part = bytes.subspan(chunk.skip, chunk.bytes);
      all.emplace_back(it->second, std::make_shared<const Bytes>(part.begin(), part.end()));
      if (it->second == number) wanted = all.back().second;
    }
  };
  store_->read_frame(chunks_[number].digest, take, &came);
  if (came) read_at_ = number;
  if (!wanted)
    throw Error::corrupt("the chunk " + chunks_[number].digest.text() + " is not where the store says");
  const std::lock_guard lock(mutex_);
  for (auto& [n, bytes] : all) keep_locked(n, std::move(bytes));
  while (kept_bytes_ > most_kept_ && ages_.front() != number) drop_locked(entries_.find(ages_.front()));
  loaded_.notify_all();
  return wanted;
}

/// What nobody will ask for again goes at once, so that its memory serves for the next.
void MemoryContent::viewed(size_t number, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  uint64_t& left = left_[number];
  if (left == 0) return;  // somebody asks again, and may once more
  left -= std::min(left, bytes);
  const auto it = entries_.find(number);
  if (left == 0 && it != entries_.end() && it->second.bytes) drop_locked(it);
}

void MemoryContent::drop_locked(std::map<size_t, Entry>::iterator entry) {
  kept_bytes_ -= entry->second.bytes->size();
  ages_.erase(entry->second.age);
  entries_.erase(entry);
}

void MemoryContent::keep_locked(size_t number, Kept bytes) {
  Entry& entry = entries_[number];
  if (entry.bytes) return;
  kept_bytes_ += bytes->size();
  entry.bytes = std::move(bytes);
  entry.age = ages_.insert(ages_.end(), number);
}

}  // namespace coldstart
