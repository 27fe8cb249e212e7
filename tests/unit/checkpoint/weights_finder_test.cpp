// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/weights_finder.h"

#include <doctest/doctest.h>

#include "../store/store_fixture.h"
#include "core/checkpoint/images_cache.h"
#include "core/checkpoint/memory_pack.h"
#include "core/memory/stored_pages.h"
#include "image_files.h"

namespace coldstart {
namespace {

namespace fs = std::filesystem;

constexpr size_t cell_bytes = 64 << 10;

/// A file of these bytes, in cells; a cell `hole` is left out.
WeightsFile file_of(const Bytes& bytes, std::vector<uint64_t> tensors, std::optional<size_t> hole = {}) {
  WeightsFile file;
  file.name = "test";
  for (size_t at = 0, i = 0; at < bytes.size(); at += cell_bytes, ++i)
    if (i != hole)
      file.cells.push_back({at, static_cast<uint32_t>(std::min(cell_bytes, bytes.size() - at)), {}});
  file.tensors = std::move(tensors);
  file.read = [bytes, cells = file.cells](size_t i) {
    const auto part = ByteSpan(bytes).subspan(cells[i].offset, cells[i].bytes);
    return Bytes(part.begin(), part.end());
  };
  return file;
}

/// Memory of one process, from page 100 on, packed with weights and read back.
struct Memory : StoreFixture {
  fs::path images = folder.path() / "images";
  SnapshotManifest manifest;
  MemoryMap map;
  uint64_t found = 0, new_bytes = 0;

  void pack(const Bytes& memory, const std::vector<WeightsFile>& weights, bool with_file = false) {
    const uint64_t pages = memory.size() / P;
    write_process(images, 7, {{100, pages}}, {{100, pages}}, [](uint64_t) { return 0; });
    write_file_atomic(images / "pages-7.img", memory);
    MemoryPacker packer(images, {{7, 0, 1, "test", false, 0}});
    PackWriter writer(store, {}, op);
    map = packer.pack(writer, op, weights);
    manifest.memory = put_memory_map(writer, map);
    writer.finish();
    found = packer.weights_bytes();
    new_bytes = writer.new_stored_bytes();
    if (!with_file) return;
    const auto scratch = store->scratch();
    fs::create_directories(scratch.path() / "memory");
    packer.write_content(scratch.path() / "memory" / memory_content_file, op);
    ImagesCache(store->root()).adopt(scratch.path() / "memory", manifest.memory.name());
  }

  /// Whether a reader of the snapshot gets exactly this memory, in pieces of `step` pages.
  bool comes_back(const Bytes& memory, uint64_t step) {
    const auto pages = open_stored_pages(store, manifest, images);
    const auto source = pages->process(7);
    Bytes got(memory.size());  // what is in no piece is zeros
    Bytes scratch(step * P);
    for (const Piece& piece : source->pieces())
      for (uint64_t at = 0; at < piece.size; at += step * P) {
        const ByteSpan bytes = source->view(piece.image + at, std::min(step * P, piece.size - at), scratch);
        std::memcpy(got.data() + (piece.start - 100 * P + at), bytes.data(), bytes.size());
      }
    return got == memory;
  }
};

void lay(Bytes& memory, size_t at, ByteSpan bytes) {
  std::memcpy(memory.data() + at, bytes.data(), bytes.size());
}

}  // namespace

TEST_CASE_FIXTURE(Memory, "tensors in memory are parts of the file's chunks, wherever they lie") {
  // Two tensors behind a header of 120 bytes; in memory the other way round, 64 bytes into a page and 16.
  const Bytes file = noise(120 + 1'000'008 + 600'000, 1);
  const ByteSpan first = ByteSpan(file).subspan(120, 1'000'008);
  const ByteSpan second = ByteSpan(file).subspan(120 + 1'000'008);
  Bytes memory = noise(600 * P, 2);
  lay(memory, 10 * P + 64, second);
  lay(memory, 200 * P + 16, first);
  std::fill_n(memory.begin() + 500 * P, 20 * P, std::byte{0});
  for (const bool with_file : {false, true}) {
    CAPTURE(with_file);
    pack(memory, {file_of(file, {120, 1'000'128})}, with_file);
    CHECK(found >= first.size() + second.size() - 4 * P);
    CHECK(found <= first.size() + second.size());
    for (const uint64_t step : {1U, 16U, 600U}) CHECK(comes_back(memory, step));
    CHECK(MemoryMap::parse(map.pack(), "test") == map);
    CHECK(map.content_bytes() == 580 * P);
  }
}

TEST_CASE_FIXTURE(Memory, "what is in the store already is not stored again") {
  const Bytes file = noise(3'000'000, 1);
  PackWriter writer(store, {}, op);
  WeightsFile weights = file_of(file, {80});
  std::deque<Digest> digests(weights.cells.size());
  for (size_t i = 0; i < digests.size(); ++i) writer.put(weights.read(i), &digests[i]);
  writer.finish();
  for (size_t i = 0; i < digests.size(); ++i) weights.cells[i].digest = digests[i];
  // Twice, at other places in their pages: both are parts of the same chunks.
  Bytes memory = noise(1600 * P, 2);
  lay(memory, 3 * P + 32, ByteSpan(file).subspan(80));
  lay(memory, 800 * P + 2048, ByteSpan(file).subspan(80));
  pack(memory, {weights});
  CHECK(found > 2 * file.size() - 5 * P);
  CHECK(new_bytes < memory.size() - found + 40 * P);
  CHECK(comes_back(memory, 16));
}

TEST_CASE_FIXTURE(
    Memory, "a tensor that changed in part is found but for that; one that is not there costs nothing") {
  const Bytes file = noise(2'000'000, 1);
  Bytes memory = noise(500 * P, 2);
  lay(memory, 8 * P + 8, ByteSpan(file).subspan(8, 400 * P));
  memory[100 * P + 5] ^= std::byte{1};  // one byte
  lay(memory, 200 * P, noise(3 * P, 3));
  pack(memory, {file_of(file, {8})});
  CHECK(found >= (400 - 8) * P);
  CHECK(found < 400 * P);
  CHECK(comes_back(memory, 7));
  pack(memory, {file_of(noise(2'000'000, 9), {8})});
  CHECK(found == 0);
  CHECK(comes_back(memory, 7));
}

TEST_CASE_FIXTURE(Memory, "holes of the file, pages that are all alike and odd places") {
  Bytes file = noise(16 * cell_bytes, 1);
  std::fill_n(file.begin() + 4 * cell_bytes, cell_bytes, std::byte{0});
  Bytes memory(400 * P, std::byte{7});
  lay(memory, 3, file);
  std::fill_n(memory.begin() + 300 * P, 50 * P, std::byte{0});
  // Tensors at odd offsets are looked for at every byte.
  pack(memory, {file_of(file, {101}, 4)});
  CHECK(found > 15 * cell_bytes - 8 * P);
  CHECK(comes_back(memory, 16));
  // Bytes that repeat themselves: whatever is found, it comes back.
  const Bytes same(300 * P, std::byte{7});
  pack(memory, {file_of(same, {0})});
  CHECK(comes_back(memory, 16));
  const Bytes period = noise(5 * P, 4);
  Bytes repeated;
  for (int i = 0; i < 60; ++i) append(repeated, period);
  pack(repeated, {file_of(repeated, {0, 5 * P, 40 * P})});
  CHECK(found > 0);
  CHECK(comes_back(repeated, 16));
}

}  // namespace coldstart
