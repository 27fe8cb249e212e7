// SPDX-License-Identifier: Apache-2.0
#include <map>

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "store_fixture.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

/// Has what it is given, and counts.
class Elsewhere final : public ChunkOrigin {
 public:
  std::shared_ptr<const OriginFrame> frame_of(const std::vector<Bytes>& chunks) {
    auto frame = std::make_shared<OriginFrame>();
    for (const Bytes& chunk : chunks) {
      frame->chunks.push_back({Digest::of(chunk), static_cast<uint32_t>(frame->content.size()),
                               static_cast<uint32_t>(chunk.size())});
      append(frame->content, chunk);
    }
    for (const auto& chunk : frame->chunks) frames[chunk.digest] = frame;
    return frame;
  }

  bool has(const Digest& digest) override { return frames.contains(digest); }
  std::optional<uint64_t> stored_size(const Digest& digest) override {
    return has(digest) ? std::optional<uint64_t>(7) : std::nullopt;
  }
  std::shared_ptr<const OriginFrame> frame(const Digest& digest, bool* came) override {
    if (!has(digest)) return nullptr;
    ++asked;
    if (gone) throw Error("it does not answer");
    if (came != nullptr) *came = true;
    return frames.at(digest);
  }
  void announce(std::span<const Digest>) override {}
  void prefetch(std::span<const Digest> digests) override {
    prefetched.assign(digests.begin(), digests.end());
  }
  Brought brought() const override { return {}; }
  uint64_t collect(const std::function<bool(const Digest&)>& live, bool) override {
    size_t dead = 0;
    for (const Digest& manifest : manifests) dead += live(manifest) ? 0 : 1;
    return dead * 100;
  }

  std::map<Digest, std::shared_ptr<const OriginFrame>> frames;
  std::vector<Digest> prefetched, manifests;
  int asked = 0;
  bool gone = false;
};

struct OriginFixture : StoreFixture {
  std::shared_ptr<Elsewhere> origin = std::make_shared<Elsewhere>();
  OriginFixture() { store->attach(origin); }
};

}  // namespace

TEST_CASE_FIXTURE(OriginFixture, "a chunk that is not here comes from the origin") {
  const Bytes a = text(1000, 1), b = text(500, 2);
  origin->frame_of({a, b});
  const Digest da = Digest::of(a), db = Digest::of(b);
  CHECK(store->has(da));
  CHECK_FALSE(store->has_here(da));
  bool came = false;
  CHECK(store->read(db, &came) == b);
  CHECK(came);
  Bytes into(a.size());
  store->read_into(da, into);
  CHECK(into == a);
  std::map<Digest, Bytes> seen;
  came = false;
  store->read_frame(
      da,
      [&](const Digest& d, ByteSpan bytes) {
        seen[d] = {bytes.begin(), bytes.end()};
      },
      &came);
  CHECK(seen == std::map<Digest, Bytes>{{da, a}, {db, b}});
  CHECK(came);
  CHECK(store->stored_size(da) == 7);
  Bytes wrong(3);
  CHECK_THROWS_AS(store->read_into(da, wrong), Error);
}

TEST_CASE_FIXTURE(OriginFixture, "what is here is not asked for, and what nobody has is missing") {
  const Digest here = put({text(100, 1)})[0];
  const Digest nowhere = Digest::of(text(100, 2));
  origin->frame_of({text(100, 1)});
  bool came = false;
  store->read(here, &came);
  CHECK(origin->asked == 0);
  CHECK_FALSE(came);
  CHECK_FALSE(store->has(nowhere));
  CHECK_THROWS_WITH_AS(store->read(nowhere), doctest::Contains(nowhere.text().c_str()), Error);
  CHECK_THROWS_AS(store->stored_size(nowhere), Error);
}

TEST_CASE_FIXTURE(OriginFixture, "a failure of the origin is not kept") {
  const Bytes a = text(1000, 1);
  origin->frame_of({a});
  origin->gone = true;
  CHECK_THROWS_WITH(store->read(Digest::of(a)), "it does not answer");
  origin->gone = false;
  CHECK(store->read(Digest::of(a)) == a);
}

TEST_CASE_FIXTURE(OriginFixture, "a damaged chunk here comes from the origin; without one it is an error") {
  const Bytes a = noise(200000, 1);
  const Digest digest = put({a})[0];
  const fs::path pack = fs::directory_iterator(packs())->path();
  Bytes bytes = read_file(pack);
  bytes[1000] ^= std::byte{1};
  replace(pack, bytes);
  const auto reopened = Store::open(store->root());
  CHECK_THROWS_AS(reopened->read(digest), Error);
  reopened->attach(origin);
  CHECK_THROWS_AS(reopened->read(digest), Error);
  origin->frame_of({a});
  CHECK(reopened->read(digest) == a);
}

TEST_CASE_FIXTURE(OriginFixture, "only what is lacking is prefetched") {
  const Digest here = put({text(100, 1)})[0];
  const Digest there = Digest::of(text(100, 2));
  store->prefetch(std::vector<Digest>{here, there});
  CHECK(origin->prefetched == std::vector<Digest>{there});
}

TEST_CASE_FIXTURE(OriginFixture, "fsck and gc know that chunks may be elsewhere") {
  const Bytes chunk = text(1000, 5);
  const Digest manifest = put({text(100, 1)})[0];
  store->set_ref(RefKind::image, RefName::parse("lazy"), manifest);
  const ManifestWalkers walkers = {{RefKind::image, [&](Store&, const Digest&, std::vector<Digest>& out) {
                                      out.push_back(Digest::of(chunk));
                                    }}};
  CHECK(store->fsck(walkers, op).problems.size() == 1);
  origin->frame_of({chunk});
  CHECK(store->fsck(walkers, op).problems.empty());
  origin->manifests = {manifest};
  CHECK(store->gc(walkers, true, op).freed_bytes == 0);
  store->remove_ref(RefKind::image, RefName::parse("lazy"));
  CHECK(store->gc(walkers, true, op).freed_bytes >= 100);
}
