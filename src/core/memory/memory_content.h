// SPDX-License-Identifier: Apache-2.0
#pragma once
// The content of a snapshot's memory (checkpoint/memory_map.h), from whatever has it: the plain file that
// this host keeps of it, or the chunks of the store, wherever the store gets them.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/base/files.h"
#include "core/checkpoint/images_cache.h"
#include "core/checkpoint/memory_map.h"

namespace coldstart {

/// Thread-safe: as many chunks are read at once as threads ask.
class MemoryContent {
 public:
  /// Of the memory `name`. Keeps the store (and the file, where this host has it) in use.
  MemoryContent(std::shared_ptr<Store> store, const MemoryMap& map, const Digest& name);

  uint64_t bytes() const { return starts_.back(); }
  /// The bytes at `offset`: the file's own, or put into `scratch`, which has room for them. From chunks they
  /// are verified; the file was when it was written. Throws Error::corrupt naming the chunk if they are
  /// damaged or nowhere to be had.
  ByteSpan view(uint64_t offset, uint64_t size, MutableByteSpan scratch);
  struct Extent {
    uint64_t offset;
    uint64_t bytes;
  };
  using Arrived = std::function<void(const std::vector<Extent>&)>;
  /// Brings near what will be read: these, and from an origin all the rest too, from where view() reads on.
  /// Until `stop` says so. `arrived` is told of the rest, part by part, as soon as it is near.
  void prefetch(const std::vector<Extent>& first, const std::function<bool()>& stop, const Arrived& arrived);
  /// It comes from an origin: view() waits for that, unless prefetch() has been there.
  bool is_far() const { return !is_file() && store_->origin() != nullptr; }
  /// True if there is a plain file: then nothing is read twice, and nothing is kept.
  bool is_file() const { return folder_.has_value(); }

 private:
  using Kept = std::shared_ptr<const Bytes>;
  struct Entry {
    Kept bytes;                       // null: a thread is reading it
    std::list<size_t>::iterator age;  // in ages_, if bytes
  };

  size_t chunk_at(uint64_t offset) const;
  void prefetch_from_origin(const std::vector<Extent>& first, const std::function<bool()>& stop,
                            const Arrived& arrived);
  Kept chunk(size_t number);
  Kept load(size_t number);
  void keep_locked(size_t number, Kept bytes);
  void viewed(size_t number, uint64_t bytes);
  void drop_locked(std::map<size_t, Entry>::iterator entry);

  const std::shared_ptr<Store> store_;
  const std::vector<MemoryChunk> chunks_;
  std::vector<uint64_t> starts_;                                 // of each chunk, and the end
  std::unordered_multimap<Digest, size_t, DigestHash> numbers_;  // of each chunk; of parts of it, several
  std::optional<ImagesFolder> folder_;
  FileMapping file_;
  std::atomic<size_t> read_at_{0};  // the chunk that last came from afar because it was read

  std::mutex mutex_;  // guards all below
  std::condition_variable loaded_;
  std::map<size_t, Entry> entries_;  // by number: read lately, or being read
  std::list<size_t> ages_;           // the one used last at the end
  uint64_t kept_bytes_ = 0;
  std::vector<uint64_t> left_;  // bytes of each chunk to be viewed, in all places where a process has it
  const uint64_t most_kept_;
};

}  // namespace coldstart
