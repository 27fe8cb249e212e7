// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/chunk_cache.h"

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "core/base/error.h"

using namespace coldstart;

namespace {

ChunkRecord record(uint8_t number, uint32_t length = 100) {
  ChunkRecord r{};
  r.digest[0] = number;
  r.length = length;
  return r;
}

Bytes content(const ChunkRecord& chunk) {
  return Bytes(chunk.length, static_cast<std::byte>(chunk.digest[0]));
}

void keep_itself(const ChunkRecord& wanted, const ChunkCache::Keep& keep) {
  keep(Digest{wanted.digest}, content(wanted));
}

}  // namespace

TEST_CASE("a chunk is loaded once while it is cached, and again after it had to go") {
  int loads = 0;
  ChunkCache cache(250, [&](const ChunkRecord& wanted, const ChunkCache::Keep& keep) {
    ++loads;
    keep_itself(wanted, keep);
  });
  CHECK(*cache.get(record(1)) == content(record(1)));
  const Chunk held = cache.get(record(1));
  CHECK(loads == 1);
  cache.get(record(2));
  cache.get(record(1));  // 2 is now the one not used for longest
  cache.get(record(3));
  CHECK(loads == 3);
  cache.get(record(1));
  CHECK(loads == 3);
  cache.get(record(2));
  CHECK(loads == 4);
  CHECK(held->size() == 100);  // whoever holds a chunk keeps it
}

TEST_CASE("a chunk larger than the whole cache is read all the same") {
  ChunkCache cache(10, keep_itself);
  CHECK(cache.get(record(1))->size() == 100);
  CHECK(cache.get(record(1))->size() == 100);
}

TEST_CASE("what came along with a chunk is there without loading") {
  int loads = 0;
  ChunkCache cache(1000, [&](const ChunkRecord& wanted, const ChunkCache::Keep& keep) {
    ++loads;
    for (uint8_t i = 1; i <= 3; ++i) keep_itself(record(i, wanted.length), keep);
  });
  cache.get(record(2));
  CHECK(*cache.get(record(1)) == content(record(1)));
  CHECK(*cache.get(record(3)) == content(record(3)));
  CHECK(loads == 1);
}

TEST_CASE("threads that want one chunk at once load it once") {
  std::atomic<int> loads = 0;
  std::promise<void> go;
  const std::shared_future<void> gate = go.get_future().share();
  std::atomic<int> waiting = 0;
  ChunkCache cache(1000, [&](const ChunkRecord& wanted, const ChunkCache::Keep& keep) {
    ++loads;
    gate.wait();
    keep_itself(wanted, keep);
  });
  std::future<Chunk> first = std::async(std::launch::async, [&] { return cache.get(record(1)); });
  while (loads == 0) std::this_thread::yield();
  std::vector<std::future<Chunk>> others;
  for (int i = 0; i < 4; ++i)
    others.push_back(std::async(std::launch::async, [&] {
      ++waiting;
      return cache.get(record(1));
    }));
  while (waiting < 4) std::this_thread::yield();
  go.set_value();
  for (auto& other : others) CHECK(other.get()->size() == 100);
  CHECK(first.get()->size() == 100);
  CHECK(loads == 1);
}

TEST_CASE("a failure reaches everybody who waits, and is forgotten") {
  bool broken = true;
  ChunkCache cache(1000, [&](const ChunkRecord& wanted, const ChunkCache::Keep& keep) {
    if (broken) throw Error::corrupt("flipped");
    keep_itself(wanted, keep);
  });
  CHECK_THROWS_WITH(cache.get(record(1)), "flipped");
  CHECK_THROWS_WITH(cache.get(record(1)), "flipped");
  broken = false;
  CHECK(*cache.get(record(1)) == content(record(1)));
}

TEST_CASE("a chunk of another length than the image says is refused") {
  ChunkCache cache(1000, [&](const ChunkRecord& wanted, const ChunkCache::Keep& keep) {
    keep(Digest{wanted.digest}, Bytes(99));
  });
  CHECK_THROWS_AS(cache.get(record(1, 100)), Error);
}
