// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/memory_map.h"

#include <functional>

#include <doctest/doctest.h>

#include "../store/store_fixture.h"
#include "core/base/error.h"

namespace coldstart {
namespace {

constexpr uint64_t P = 4096;

MemoryMap example() {
  MemoryMap map;
  map.chunks = {{Digest::of(as_bytes("a")), 3 * P}, {Digest::of(as_bytes("b")), P}};
  map.processes = {{7, {{16 * P, 0, 2}, {20 * P, 2, 2}}}, {9, {}}, {11, {{16 * P, 3, 1}}}};
  return map;
}

/// The status of reading what `change` made of the example's bytes.
Exit status_after(const std::function<void(Bytes&)>& change) {
  Bytes bytes = example().pack();
  change(bytes);
  try {
    MemoryMap::parse(bytes, "test");
    return Exit::ok;
  } catch (const Error& e) {
    return e.exit();
  }
}

void set(Bytes& bytes, size_t at, uint64_t value, size_t size) {
  std::memcpy(bytes.data() + at, &value, size);
}

// Where things are in the example: header 32, chunks 2 x 40, processes 3 x 16, runs 3 x 16.
constexpr size_t first_chunk = 32, first_process = 112, first_run = 160;

}  // namespace

TEST_CASE("a memory map survives being packed") {
  const MemoryMap map = example();
  const Bytes bytes = map.pack();
  CHECK(bytes.size() == first_run + 3 * 16);
  CHECK(MemoryMap::parse(bytes, "test") == map);
  CHECK(map.content_bytes() == 4 * P);
  CHECK(map.process(11)->runs.size() == 1);
  CHECK(map.process(8) == nullptr);
  CHECK(MemoryMap::parse(MemoryMap{}.pack(), "test") == MemoryMap{});
}

TEST_CASE("parts of chunks, as long as together they are whole pages") {
  MemoryMap map = example();
  map.chunks = {{Digest::of(as_bytes("a")), P + 100, 64}, {Digest::of(as_bytes("b")), 3 * P - 100}};
  Bytes bytes = map.pack();
  CHECK(MemoryMap::parse(bytes, "test") == map);
  CHECK(map.content_bytes() == 4 * P);
  const auto status = [&] {
    try {
      MemoryMap::parse(bytes, "test");
      return Exit::ok;
    } catch (const Error& e) {
      return e.exit();
    }
  };
  set(bytes, first_chunk + 36, 1U << 30, 4);  // what is skipped
  CHECK(status() == Exit::corrupt);
  set(bytes, first_chunk + 36, 64, 4);
  CHECK(status() == Exit::ok);
  set(bytes, first_chunk + 32, P + 101, 4);
  CHECK(status() == Exit::corrupt);
  set(bytes, first_chunk + 32, P + 100, 4);
  set(bytes, 8, 1, 4);  // the first version has no parts
  CHECK(status() == Exit::corrupt);
}

TEST_CASE("a damaged memory map is refused") {
  CHECK(status_after([](Bytes&) {}) == Exit::ok);
  for (size_t size : {0U, 31U, 32U, 150U, 207U})
    CHECK(status_after([&](Bytes& b) { b.resize(size); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { b.resize(b.size() + 1); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, 0, 'x', 1); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, 8, 3, 4); }) == Exit::corrupt);                 // a newer version
  CHECK(status_after([](Bytes& b) { set(b, 12, UINT32_MAX, 4); }) == Exit::corrupt);       // processes
  CHECK(status_after([](Bytes& b) { set(b, 16, UINT64_MAX / 40, 8); }) == Exit::corrupt);  // chunks
  CHECK(status_after([](Bytes& b) { set(b, 24, UINT64_MAX / 16, 8); }) == Exit::corrupt);  // runs
  CHECK(status_after([](Bytes& b) { set(b, first_chunk + 32, 0, 4); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, first_chunk + 32, 4097, 4); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, first_chunk + 32, 1U << 30, 4); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, first_process, 0, 4); }) == Exit::corrupt);  // no pid
  CHECK(status_after([](Bytes& b) { set(b, first_process, 9, 4); }) == Exit::corrupt);  // twice
  CHECK(status_after([](Bytes& b) { set(b, first_process + 8, 4, 8); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, first_process + 8, 1, 8); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, first_process + 8, UINT64_MAX, 8); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, first_run, 16 * P + 1, 8); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, first_run, UINT64_MAX - P + 1, 8); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, first_run + 12, 5, 4); }) == Exit::corrupt);  // overlaps the next
  CHECK(status_after([](Bytes& b) { set(b, first_run + 12, 0, 4); }) == Exit::corrupt);
  CHECK(status_after([](Bytes& b) { set(b, first_run + 8, 4, 4); }) == Exit::corrupt);  // not in the content
  CHECK(status_after([](Bytes& b) { set(b, first_run + 8, UINT32_MAX, 4); }) == Exit::corrupt);
}

TEST_CASE_FIXTURE(StoreFixture, "a memory map is found again in the store, and followed") {
  const Bytes content = noise(4 * P, 1);
  MemoryMap map;
  map.chunks = {{Digest::of(content), 4 * P}};
  // More than one chunk of the map itself.
  std::vector<MemoryRun> runs;
  for (uint32_t i = 0; i < 100'000; ++i) runs.push_back({(i + 1) * 2 * P, i % 4, 1});
  map.processes = {{7, runs}};
  PackWriter writer(store, {}, op);
  writer.put_now(content);
  const StoredMap stored = put_memory_map(writer, map);
  writer.finish();
  CHECK(stored.chunks.size() == 2);
  const StoredMap read = StoredMap::from_json(stored.to_json(), "test");
  CHECK(read.name() == stored.name());
  CHECK(read_memory_map(*store, read) == map);
  std::vector<Digest> all;
  walk_memory(*store, stored, all);
  CHECK(all.size() == 3);
  CHECK(all.back() == map.chunks[0].digest);

  Json json = stored.to_json();
  json["bytes"] = stored.bytes + (1 << 20);
  CHECK_THROWS_AS(StoredMap::from_json(json, "test"), Error);
  json["bytes"] = uint64_t{1} << 40;
  CHECK_THROWS_AS(StoredMap::from_json(json, "test"), Error);
}

}  // namespace coldstart
