// SPDX-License-Identifier: Apache-2.0
#include "core/store/pack_export.h"

#include <algorithm>
#include <set>

#include <doctest/doctest.h>

#include "store_fixture.h"

namespace coldstart {

namespace {

constexpr size_t chunk_count = 2000;

struct ExportFixture : StoreFixture {
  std::vector<Digest> digests = [this] {
    std::vector<Bytes> chunks;
    for (unsigned i = 0; i < chunk_count; ++i) chunks.push_back(text(1000, i));
    return put(chunks, {.frame_bytes = size_t{100} << 10});
  }();

  /// All frames, each as the digests in it; every chunk is in one of them, once.
  std::vector<std::vector<Digest>> frames_of(const std::vector<Digest>& wanted) {
    const FrameExport frames(*store, wanted);
    std::vector<std::vector<Digest>> result;
    std::vector<Digest> all;
    for (size_t i = 0; i < frames.count(); ++i) {
      result.emplace_back();
      for (const BuiltFrame::Chunk& chunk : frames.build(i).chunks) result.back().push_back(chunk.digest);
      all.insert(all.end(), result.back().begin(), result.back().end());
    }
    std::sort(all.begin(), all.end());
    std::vector<Digest> sorted = wanted;
    std::sort(sorted.begin(), sorted.end());
    CHECK(all == sorted);
    return result;
  }
};

}  // namespace

TEST_CASE_FIXTURE(ExportFixture, "frames leave a store as they are where their order is that of use") {
  const std::vector<std::vector<Digest>> frames = frames_of(digests);
  CHECK(frames.size() == (chunk_count + 101) / 102);
  // Some in the wrong place are no reason to take frames apart.
  std::swap(digests[10], digests[150]);
  CHECK(frames_of(digests).size() == frames.size());
}

TEST_CASE_FIXTURE(ExportFixture, "what is wanted first leaves without what lies beside it") {
  std::vector<Digest> first, rest;
  for (size_t i = 0; i < digests.size(); ++i) (i % 4 == 0 ? first : rest).push_back(digests[i]);
  std::vector<Digest> wanted = first;
  wanted.insert(wanted.end(), rest.begin(), rest.end());
  const std::set<Digest> early(first.begin(), first.end());
  size_t mixed = 0;
  for (const std::vector<Digest>& frame : frames_of(wanted)) {
    const auto count =
        std::count_if(frame.begin(), frame.end(), [&](const Digest& d) { return early.contains(d); });
    if (count != 0 && static_cast<size_t>(count) != frame.size()) ++mixed;
  }
  CHECK(mixed <= 1);
}

}  // namespace coldstart
