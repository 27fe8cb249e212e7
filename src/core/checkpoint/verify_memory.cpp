// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/verify_memory.h"

#include <algorithm>
#include <mutex>
#include <span>
#include <unordered_set>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/progress_task.h"
#include "core/base/workers.h"

namespace coldstart {

namespace {

constexpr size_t batch_chunks = 256;
constexpr uint64_t page = 4096;

/// Chunks follow each other in their frames as in the map, so a frame is read once.
class MemoryVerifier {
 public:
  MemoryVerifier(Store& store, const MemoryMap& map, Operation& op) : store_(store), map_(map), op_(op) {}

  VerifyResult run() {
    const ProgressTask task(op_.progress, "verifying memory", map_.content_bytes());
    {
      Workers workers(default_jobs(), 4);
      const std::span<const MemoryChunk> all(map_.chunks);
      for (size_t at = 0; at < all.size(); at += batch_chunks)
        workers.submit(
            [this, part = all.subspan(at, std::min(batch_chunks, all.size() - at))] { check(part); });
      workers.wait();
    }
    result_.chunks = map_.chunks.size();
    return std::move(result_);
  }

 private:
  void check(std::span<const MemoryChunk> chunks) {
    std::unordered_set<Digest, DigestHash> good;
    for (const MemoryChunk& chunk : chunks) {
      op_.cancel.check();
      op_.progress.advance(chunk.bytes);
      if (good.count(chunk.digest) != 0) continue;
      try {
        store_.read_frame(chunk.digest, [&](const Digest& digest, ByteSpan) { good.insert(digest); });
      } catch (const Error& e) {
        const std::lock_guard lock(mutex_);
        result_.corrupt.push_back(
            {chunk.digest, owners(static_cast<size_t>(&chunk - map_.chunks.data())), e.message()});
      }
    }
  }

  /// The processes that have pages in a chunk.
  std::vector<std::string> owners(size_t number) const {
    uint64_t start = 0;
    for (size_t i = 0; i < number; ++i) start += map_.chunks[i].bytes;
    const uint64_t end = start + map_.chunks[number].bytes;
    std::vector<std::string> names;
    for (const ProcessMemory& process : map_.processes)
      if (std::any_of(process.runs.begin(), process.runs.end(), [&](const MemoryRun& run) {
            return run.content * page < end && (uint64_t{run.content} + run.pages) * page > start;
          }))
        names.push_back(fmt::format("memory of process {}", process.pid));
    return names;
  }

  Store& store_;
  const MemoryMap& map_;
  Operation& op_;
  std::mutex mutex_;  // guards result_
  VerifyResult result_;
};

}  // namespace

VerifyResult verify_memory(Store& store, const StoredMap& stored, Operation& op) {
  const MemoryMap map = read_memory_map(store, stored);
  VerifyResult result = MemoryVerifier(store, map, op).run();
  result.chunks += stored.chunks.size();
  return result;
}

}  // namespace coldstart
