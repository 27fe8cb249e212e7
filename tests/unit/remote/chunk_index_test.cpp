// SPDX-License-Identifier: Apache-2.0
#include "core/remote/chunk_index.h"

#include <doctest/doctest.h>

#include "../store/store_fixture.h"
#include "core/base/error.h"

using namespace coldstart;

namespace {

Digest digest(int number) {
  return Digest::of(to_bytes(std::to_string(number)));
}

Bytes example() {
  ChunkIndexBuilder builder;
  const uint32_t first = builder.pack(digest(100), 1000), second = builder.pack(digest(101), 500);
  CHECK(builder.pack(digest(100), 1000) == first);
  const uint32_t a = builder.frame(first, 8, 90, 200), b = builder.frame(second, 8, 400, 400);
  builder.chunk(digest(1), a, 0, 150);
  builder.chunk(digest(2), a, 150, 50);
  builder.chunk(digest(3), b, 0, 400);
  builder.chunk(digest(3), b, 0, 400);
  return builder.finish();
}

}  // namespace

TEST_CASE("a chunk index finds what was put into it") {
  const ChunkIndex index(example(), "it");
  CHECK(index.packs().size() == 2);
  CHECK(index.chunks().size() == 3);
  const IndexedChunk* two = index.find(digest(2));
  REQUIRE(two != nullptr);
  CHECK(two->offset == 150);
  CHECK(index.frames()[two->frame].stored == 90);
  CHECK(index.chunks_of(two->frame).size() == 2);
  CHECK(index.find(digest(4)) == nullptr);
  const ChunkIndex moved(ChunkIndex(example(), "it"));
  CHECK(moved.find(digest(3)) != nullptr);
}

TEST_CASE("a damaged chunk index is refused or harmless") {
  const Bytes good = example();
  for (size_t i = 0; i < good.size(); ++i) {
    const auto try_it = [](Bytes bytes) {
      try {
        const ChunkIndex index(std::move(bytes), "it");
        for (const IndexedChunk& chunk : index.chunks()) {
          CHECK(chunk.frame < index.frames().size());
          CHECK(index.find(chunk.digest) == &chunk);
        }
      } catch (const Error& e) {
        CHECK(e.exit() == Exit::corrupt);
      }
    };
    for (const unsigned flip : {1U, 0x80U, 0xffU}) {
      Bytes bad = good;
      bad[i] ^= static_cast<std::byte>(flip);
      try_it(std::move(bad));
    }
    try_it(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(i)));
  }
}
