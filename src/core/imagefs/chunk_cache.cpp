// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/chunk_cache.h"

#include "core/base/error.h"

namespace coldstart {

Chunk ChunkCache::get(const ChunkRecord& wanted) {
  const Digest digest{wanted.digest};
  std::unique_lock lock(mutex_);
  if (Chunk chunk = find_locked(digest)) return chunk;
  if (const auto other = loading_.find(digest); other != loading_.end()) {
    const std::shared_future<Chunk> result = other->second;
    lock.unlock();
    return result.get();
  }
  Promise promise;
  loading_.emplace(digest, promise.get_future().share());
  lock.unlock();
  return load(wanted, promise);
}

Chunk ChunkCache::peek(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  return find_locked(digest);
}

bool ChunkCache::lacks(const ChunkRecord& chunk) {
  const Digest digest{chunk.digest};
  const std::lock_guard lock(mutex_);
  return !index_.contains(digest) && !loading_.contains(digest);
}

Chunk ChunkCache::load(const ChunkRecord& record, Promise& promise) {
  const Digest digest{record.digest};
  Chunk wanted;
  std::exception_ptr failure;
  try {
    load_(record, [&](const Digest& d, Bytes bytes) {
      Chunk chunk = std::make_shared<const Bytes>(std::move(bytes));
      if (d == digest) wanted = chunk;
      const std::lock_guard lock(mutex_);
      insert_locked(d, std::move(chunk));
    });
    if (!wanted || wanted->size() != record.length)
      throw Error::corrupt("the chunk " + digest.text() + " is not as long as the image says");
  } catch (...) {
    failure = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    loading_.erase(digest);
  }
  if (failure) {
    promise.set_exception(failure);
    std::rethrow_exception(failure);
  }
  promise.set_value(wanted);
  return wanted;
}

Chunk ChunkCache::find_locked(const Digest& digest) {
  const auto found = index_.find(digest);
  if (found == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->chunk;
}

void ChunkCache::insert_locked(const Digest& digest, Chunk chunk) {
  if (find_locked(digest)) return;
  bytes_ += chunk->size();
  entries_.push_front({digest, std::move(chunk)});
  index_.emplace(digest, entries_.begin());
  while (bytes_ > limit_ && !entries_.empty()) {
    const Entry& oldest = entries_.back();
    bytes_ -= oldest.chunk->size();
    index_.erase(oldest.digest);
    entries_.pop_back();
  }
}

}  // namespace coldstart
