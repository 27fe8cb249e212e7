// SPDX-License-Identifier: Apache-2.0
#pragma once
// Decompressed chunks, in memory, for a short while: what one read leaves over, the next one wants.

#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/base/bytes.h"
#include "core/image/format.h"
#include "core/store/digest.h"

namespace coldstart {

/// The bytes of one chunk; lives as long as somebody holds it, cached or not.
using Chunk = std::shared_ptr<const Bytes>;

/// Least recently used goes first. Thread-safe. Two threads that want the same chunk at once load it once.
/// A failure is handed to all who waited for it and is not kept: the next get() tries again.
class ChunkCache {
 public:
  using Keep = std::function<void(const Digest&, Bytes)>;
  /// Brings `wanted`, and may bring others along that were cheap to have.
  using Load = std::function<void(const ChunkRecord& wanted, const Keep& keep)>;

  ChunkCache(size_t limit_bytes, Load load) : limit_(limit_bytes), load_(std::move(load)) {}

  Chunk get(const ChunkRecord& wanted);
  /// Null if it is not there; loads nothing.
  Chunk peek(const Digest& digest);
  /// True if get() would have to load it, and nobody does so already.
  bool lacks(const ChunkRecord& chunk);

 private:
  struct Entry {
    Digest digest;
    Chunk chunk;
  };
  using Promise = std::promise<Chunk>;

  Chunk find_locked(const Digest& digest);
  void insert_locked(const Digest& digest, Chunk chunk);
  Chunk load(const ChunkRecord& record, Promise& promise);

  const size_t limit_;
  const Load load_;
  std::mutex mutex_;  // guards all below
  size_t bytes_ = 0;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<Digest, std::list<Entry>::iterator, DigestHash> index_;
  std::unordered_map<Digest, std::shared_future<Chunk>, DigestHash> loading_;
};

}  // namespace coldstart
