// SPDX-License-Identifier: Apache-2.0
#include "core/memory/stored_pages.h"

#include <map>
#include <set>
#include <thread>

#include <doctest/doctest.h>

#include "../checkpoint/image_files.h"
#include "../store/store_fixture.h"
#include "core/base/error.h"
#include "core/checkpoint/images_cache.h"
#include "core/checkpoint/memory_pack.h"

namespace coldstart {
namespace {

namespace fs = std::filesystem;

struct Snapshot : StoreFixture {
  fs::path images = folder.path() / "images";
  SnapshotManifest manifest;
  uint64_t new_bytes = 0;

  /// Packs the memory of these processes, as `snapshot` does.
  MemoryMap pack(const std::vector<uint32_t>& pids, bool with_file = false) {
    std::vector<ImageProcess> processes;
    for (const uint32_t pid : pids) processes.push_back({pid, 0, 1, "test", false, 0});
    MemoryPacker packer(images, processes);
    PackWriter writer(store, {}, op);
    const MemoryMap map = packer.pack(writer, op);
    manifest.memory = put_memory_map(writer, map);
    writer.finish();
    new_bytes = writer.new_stored_bytes();
    packer.reduce_images();
    if (with_file) {
      const auto scratch = store->scratch();
      fs::create_directories(scratch.path() / "memory");
      packer.write_content(scratch.path() / "memory" / memory_content_file, op);
      ImagesCache(store->root()).adopt(scratch.path() / "memory", manifest.memory.name());
    }
    return map;
  }

  /// Whether the process has these bytes at [page, page + pages), which are in one piece.
  static bool same(const PageSource& source, uint64_t page, uint64_t pages,
                   const std::function<uint64_t(uint64_t)>& seed_of) {
    Bytes scratch(pages * P);
    const ByteSpan bytes = source.view(page * P, pages * P, scratch);
    for (uint64_t i = 0; i < pages; ++i) {
      const Bytes want = page_of(seed_of(page + i));
      if (!std::equal(want.begin(), want.end(), bytes.begin() + static_cast<ptrdiff_t>(i * P))) return false;
    }
    return true;
  }
};

uint64_t by_number(uint64_t page) {
  return page;
}

}  // namespace

TEST_CASE_FIXTURE(Snapshot, "pages come back from the store and from the file as they were") {
  // Zeros at 150 to 159; two mappings that touch at 300; pages that stay in the images at 500.
  const auto seed = [](uint64_t page) { return page >= 150 && page < 160 ? 0 : page; };
  for (const bool with_file : {false, true}) {
    CAPTURE(with_file);
    write_process(images, 7, {{100, 200}, {300, 200}, {500, 10, MAP_PRIVATE}},
                  {{100, 400}, {500, 5, PageRun::present}}, seed);
    const MemoryMap map = pack({7}, with_file);
    CHECK(map.content_bytes() == 390 * P);
    const auto pages = open_stored_pages(store, manifest, images);
    const auto source = pages->process(7);
    REQUIRE(source->pieces().size() == 3);
    CHECK(source->pieces()[0] == Piece{100 * P, 50 * P, 100 * P});
    CHECK(source->pieces()[1] == Piece{160 * P, 140 * P, 160 * P});
    CHECK(source->pieces()[2] == Piece{300 * P, 200 * P, 300 * P});
    CHECK(source->mappings().size() == 2);
    CHECK(same(*source, 100, 50, seed));
    CHECK(same(*source, 133, 1, seed));
    CHECK(same(*source, 170, 130, seed));
    CHECK(same(*source, 300, 200, seed));
    // What CRIU reads itself is still there, and no more.
    const Pagemap kept = read_pagemap(images / "pagemap-7.img");
    REQUIRE(kept.runs.size() == 2);
    CHECK(kept.runs[0].flags == PageRun::lazy);
    CHECK(kept.runs[1].start == 500 * P);
    CHECK(kept.bytes == 5 * P);
    CHECK(fs::file_size(images / "pages-7.img") == 5 * P);
    CHECK(read_file(images / "pages-7.img", 5 * P)[0] == page_of(500)[0]);
  }
}

TEST_CASE_FIXTURE(Snapshot, "the images are whole again for an eager restore") {
  const auto seed = [](uint64_t page) { return page % 50 == 0 ? 0 : page; };
  for (const bool with_file : {false, true}) {
    CAPTURE(with_file);
    write_process(images, 7, {{100, 200}, {300, 10, MAP_PRIVATE}, {310, 400}},
                  {{100, 200}, {300, 5, PageRun::present}, {310, 400}}, seed);
    pack({7}, with_file);
    const fs::path whole = folder.path() / (with_file ? "whole1" : "whole2");
    write_whole_images(store, manifest, images, whole, cancel);
    const auto source = open_image_pages(whole)->process(7);
    for (const Piece& piece : source->pieces()) CHECK(same(*source, piece.start / P, piece.size / P, seed));
    const Pagemap map = read_pagemap(whole / "pagemap-7.img");
    CHECK(map.bytes == (200 - 4 + 5 + 400 - 8) * P);  // 300 is kept, zeros or not
    CHECK(fs::file_size(whole / "pages-7.img") == map.bytes);
  }
}

TEST_CASE_FIXTURE(Snapshot, "processes share what is equal, wherever it is") {
  write_process(images, 7, {{100, 1000}}, {{100, 1000}}, by_number);
  // The same behind ten other pages, elsewhere, and with a hole.
  write_process(images, 8, {{5000, 2000}}, {{5000, 500}, {5600, 510}}, [](uint64_t page) {
    return page < 5010 ? page : page < 5600 ? page - 4910 : page - 5010;
  });
  const MemoryMap map = pack({7, 8});
  CHECK(map.content_bytes() < 1250 * P);
  const auto pages = open_stored_pages(store, manifest, images);
  const auto source = pages->process(8);
  CHECK(same(*source, 5600, 510, [](uint64_t page) { return page - 5010; }));
}

TEST_CASE_FIXTURE(Snapshot, "a later snapshot stores only what changed") {
  write_process(images, 7, {{100, 4000}}, {{100, 4000}}, by_number);
  pack({7});
  const uint64_t first = new_bytes;
  CHECK(first > 4000 * P);
  // One page changed, the mapping grew to below, some pages became zeros.
  write_process(images, 7, {{60, 4040}}, {{60, 4040}}, [](uint64_t page) {
    return page == 2000 ? 77777 : page > 3000 && page < 3010 ? 0 : page;
  });
  pack({7});
  CHECK(new_bytes < 400 * P);
  CHECK(new_bytes > 40 * P);
}

TEST_CASE_FIXTURE(Snapshot, "many threads read at once") {
  write_process(images, 7, {{100, 3000}}, {{100, 3000}}, by_number);
  pack({7});
  const auto pages = open_stored_pages(store, manifest, images);
  const auto source = pages->process(7);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 200; ++i)
        if (!same(*source, 100 + (i * 131 + t * 700) % 2980, 17, by_number)) ++wrong;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

/// Far away is all that it is told to have.
class Afar final : public ChunkOrigin {
 public:
  bool has(const Digest& digest) override { return frames.contains(digest); }
  std::optional<uint64_t> stored_size(const Digest&) override { return std::nullopt; }
  std::shared_ptr<const OriginFrame> frame(const Digest& digest, bool* came) override {
    if (came != nullptr) *came = !near.contains(digest);
    near.insert(digest);
    return frames.at(digest);
  }
  void announce(std::span<const Digest>) override {}
  void prefetch(std::span<const Digest> digests) override {
    near.insert(digests.begin(), digests.end());
    if (fetched) std::exchange(fetched, nullptr)();
  }
  Brought brought() const override { return {}; }
  uint64_t collect(const std::function<bool(const Digest&)>&, bool) override { return 0; }

  std::map<Digest, std::shared_ptr<const OriginFrame>> frames;
  std::set<Digest> near;
  std::function<void()> fetched;  // called once
};

TEST_CASE_FIXTURE(Snapshot, "what comes from afar is told page by page, from where somebody waits") {
  // More than two batches in process 7; process 8 has the first pages of it too.
  constexpr uint64_t count = 96 * 64 * 3;
  write_process(images, 7, {{1000, count}}, {{1000, count}}, by_number);
  write_process(images, 8, {{50000, 100}}, {{50000, 100}}, [](uint64_t page) { return page - 49000; });
  const MemoryMap map = pack({7, 8});
  const auto origin = std::make_shared<Afar>();
  for (const MemoryChunk& chunk : map.chunks) {
    auto frame = std::make_shared<OriginFrame>();
    frame->content = store->read(chunk.digest);
    frame->chunks.push_back({chunk.digest, 0, chunk.bytes});
    origin->frames.emplace(chunk.digest, frame);
  }
  fs::remove_all(packs());
  fs::create_directory(packs());
  store = Store::open(store->root());
  store->attach(origin);
  // The map itself is small, and here.
  PackWriter writer(store, {}, op);
  manifest.memory = put_memory_map(writer, map);
  writer.finish();

  const auto pages = open_stored_pages(store, manifest, images);
  CHECK(pages->is_far());
  const auto source = pages->process(7);
  constexpr uint64_t waited = 1000 + count - 100;
  origin->fetched = [&] { CHECK(same(*source, waited, 1, by_number)); };
  std::map<uint32_t, std::set<uint64_t>> told;
  std::vector<uint64_t> starts;
  const PageRange first{1000 * P, 7, 10};
  pages->prefetch(
      {first}, [] { return false; },
      [&](const std::vector<PageRange>& ranges) {
        for (const PageRange& range : ranges) {
          if (range.pid == 7) starts.push_back(range.address / P);
          for (uint64_t i = 0; i < range.pages; ++i)
            CHECK(told[range.pid].insert(range.address / P + i).second);
        }
      });
  // All but the chunk of `first`, which is known to be wanted.
  CHECK(told[7].size() > count - 64 - 1);
  CHECK(told[7].size() < count);
  CHECK(*told[7].rbegin() == 1000 + count - 1);
  CHECK_FALSE(told[8].empty());
  // Where somebody waited while `first` came is what came next.
  REQUIRE(starts.size() > 1);
  CHECK(starts[0] <= waited);
  CHECK(starts[0] > waited - 64);
  CHECK(origin->near.size() == map.chunks.size());
}

TEST_CASE_FIXTURE(Snapshot, "a chunk that is damaged or gone is named, with its process") {
  write_process(images, 7, {{100, 500}}, {{100, 500}}, by_number);
  const MemoryMap map = pack({7});
  const auto pages = open_stored_pages(store, manifest, images);
  const auto source = pages->process(7);
  for (const auto& pack : fs::directory_iterator(packs())) {
    Bytes bytes = read_file(pack.path());
    for (size_t at = 100; at < map.content_bytes(); at += 997) bytes[at] ^= std::byte{1};
    const Fd fd = open_file(pack.path(), O_WRONLY);
    pwrite_full(fd.get(), bytes, 0);
  }
  Bytes scratch(16 * P);
  for (int attempt = 0; attempt < 2; ++attempt) try {  // a failure is not kept, and hangs nobody
      source->view(100 * P, 16 * P, scratch);
      FAIL("damaged bytes were given");
    } catch (const Error& e) {
      CHECK(e.exit() == Exit::corrupt);
      CHECK(e.message().find("process 7") != std::string::npos);
      CHECK(e.message().find(map.chunks[0].digest.text()) != std::string::npos);
    }
}

TEST_CASE_FIXTURE(Snapshot, "pages without a mapping are refused") {
  write_process(images, 7, {{100, 500}}, {{100, 500}}, by_number);
  pack({7});
  write_process(images, 7, {{100, 400}}, {}, by_number);
  CHECK_THROWS_AS(open_stored_pages(store, manifest, images)->process(7), Error);
}

}  // namespace coldstart
