// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/store/pack_file.h"
#include "store_fixture.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

std::vector<fs::path> list(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// Small and large, compressible and not.
std::vector<Bytes> mixture() {
  std::vector<Bytes> chunks;
  for (unsigned i = 0; i < 400; ++i) {
    const size_t size = 1 + (i * 7919) % 9000;
    chunks.push_back(i % 3 == 0 ? StoreFixture::noise(size, i) : StoreFixture::text(size, i));
    if (i % 50 == 0) chunks.push_back(StoreFixture::text(300000, i));
    if (i % 90 == 0) chunks.push_back(StoreFixture::noise(200000, i));
  }
  return chunks;
}

}  // namespace

TEST_CASE_FIXTURE(StoreFixture, "what is put comes back") {
  const std::vector<Bytes> chunks = mixture();
  const std::vector<Digest> digests = put(chunks, {.jobs = 3, .frame_bytes = 64 << 10});
  for (const auto& reader : {store, Store::open(store->root())}) {
    for (size_t i = 0; i < chunks.size(); ++i) {
      CHECK(digests[i] == Digest::of(chunks[i]));
      CHECK(reader->has(digests[i]));
      REQUIRE(reader->read(digests[i]) == chunks[i]);
      Bytes into(chunks[i].size());
      reader->read_into(digests[i], into);
      CHECK(into == chunks[i]);
      CHECK(reader->stored_size(digests[i]) <= chunks[i].size());
    }
  }
  Bytes wrong(chunks[0].size() + 1);
  CHECK_THROWS_AS(store->read_into(digests[0], wrong), Error);
}

TEST_CASE_FIXTURE(StoreFixture, "small neighbours share a frame, a large chunk has its own") {
  const std::vector<Digest> digests =
      put({text(1000, 1), text(40000, 2), text(2000, 3)}, {.frame_bytes = 64 << 10});
  std::vector<Digest> seen;
  const auto note = [&](const Digest& d, ByteSpan bytes) {
    CHECK(Digest::of(bytes) == d);
    seen.push_back(d);
  };
  store->read_frame(digests[2], note);
  CHECK(seen == std::vector<Digest>{digests[0], digests[2]});
  seen.clear();
  store->read_frame(digests[1], note);
  CHECK(seen == std::vector<Digest>{digests[1]});
}

TEST_CASE_FIXTURE(StoreFixture, "a chunk is stored once") {
  PackWriter first(store, {.frame_bytes = 4096}, op);
  std::vector<Digest> digests(40);
  for (Digest& d : digests) first.put(noise(1000, 7), &d);
  first.flush();
  CHECK(first.new_chunks() == 1);
  CHECK(std::count(digests.begin(), digests.end(), Digest::of(noise(1000, 7))) == 40);
  first.finish();
  CHECK(first.new_stored_bytes() == 1000);

  PackWriter second(Store::open(store->root()), {}, op);
  second.put(noise(1000, 7), nullptr);
  second.finish();
  CHECK(second.new_chunks() == 0);
  CHECK(list(packs()).size() == 1);
}

TEST_CASE_FIXTURE(StoreFixture, "the same chunks give the same packs, whatever the threads do") {
  const std::vector<Bytes> chunks = mixture();
  std::vector<Bytes> once;
  for (const unsigned jobs : {1U, 2U, 8U, 8U}) {
    const auto other =
        Store::open(folder.path() / ("jobs" + std::to_string(once.size()) + std::to_string(jobs)));
    PackWriter writer(other, {.jobs = jobs, .frame_bytes = 32 << 10, .pack_bytes = 300000}, op);
    for (size_t i = 0; i < chunks.size(); ++i) {
      writer.put(chunks[i], nullptr);
      if (jobs == 2 && i % 17 == 0) writer.flush();
    }
    writer.finish();
    std::vector<Bytes> packs;
    for (const fs::path& pack : list(other->root() / "packs")) packs.push_back(read_file(pack));
    CHECK(packs.size() > 2);
    if (once.empty()) once = packs;
    CHECK(packs == once);
    fs::remove_all(other->root());
  }
}

TEST_CASE_FIXTURE(StoreFixture, "nothing is published without finish, and nothing is left over") {
  {
    PackWriter writer(store, {.frame_bytes = 1000}, op);
    for (unsigned i = 0; i < 20; ++i) writer.put(noise(900, i), nullptr);
    writer.flush();
  }
  CHECK(list(packs()).empty());
  CHECK(list(store->root() / "tmp").empty());
}

TEST_CASE_FIXTURE(StoreFixture, "a cancelled writer ends with the reason and leaves nothing") {
  {
    PackWriter writer(store, {}, op);
    cancel.cancel(2);
    CHECK_THROWS_AS(writer.put(noise(900, 1), nullptr), Error);
  }
  CHECK(list(store->root() / "tmp").empty());
}

TEST_CASE_FIXTURE(StoreFixture, "what another process published after we looked is found") {
  const auto other = Store::open(store->root());
  CHECK_FALSE(other->has(Digest::of(text(100, 1))));
  put({text(100, 1)});
  CHECK(other->read(Digest::of(text(100, 1))) == text(100, 1));
}

TEST_CASE_FIXTURE(StoreFixture, "fault 3: a flipped bit is found by who reads, and another copy is used") {
  const Digest digest = put({noise(5000, 1)})[0];
  const fs::path pack = list(packs()).at(0);
  Bytes bytes = read_file(pack);
  bytes[2000] ^= std::byte{4};
  replace(pack, bytes);
  const auto reader = Store::open(store->root());
  try {
    reader->read(digest);
    FAIL("corrupt bytes were handed out");
  } catch (const Error& e) {
    CHECK(e.exit() == Exit::corrupt);
    CHECK(e.message().find(digest.text()) != std::string::npos);
  }

  const auto other = Store::open(folder.path() / "other");
  PackWriter writer(other, {}, op);
  writer.put(noise(5000, 1), nullptr);
  writer.put(noise(10, 2), nullptr);
  writer.finish();
  const fs::path good = list(other->root() / "packs").at(0);
  fs::copy_file(good, packs() / good.filename());
  CHECK(Store::open(store->root())->read(digest) == noise(5000, 1));
}

TEST_CASE_FIXTURE(StoreFixture,
                  "faults 3, 7: a pack cut anywhere, or with any byte of its index changed, is survived") {
  std::vector<Bytes> chunks;
  for (unsigned i = 0; i < 5; ++i) chunks.push_back(text(300, i));
  chunks.push_back(noise(100, 9));
  const std::vector<Digest> digests = put(chunks, {.frame_bytes = 700});
  const fs::path pack = list(packs()).at(0);
  const Bytes good = read_file(pack);
  CHECK_NOTHROW(PackFile(pack).check_index());

  const auto survives = [&](const Bytes& bytes) {
    replace(pack, bytes);
    bool found = false;
    try {
      const PackFile file(pack);
      for (size_t i = 0; i < digests.size(); ++i) {
        try {
          const auto place = file.find(digests[i]);
          if (!place) continue;
          Bytes content(place->frame.content);
          file.read_content(place->frame, content);
        } catch (const Error& e) {
          CHECK(e.exit() == Exit::corrupt);
        }
      }
      file.check_index();
    } catch (const Error& e) {
      CHECK(e.exit() == Exit::corrupt);
      found = true;
    }
    return found;
  };
  for (size_t length = 0; length < good.size(); length += 1 + length % 3)
    CHECK(survives(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(length))));
  const auto footer = load<PackFooter>(good.data() + good.size() - sizeof(PackFooter));
  const size_t version_at = good.size() - sizeof(PackFooter) + offsetof(PackFooter, version);
  for (size_t at = footer.index_offset; at < good.size(); ++at) {
    for (const std::byte flip : {std::byte{1}, std::byte{128}, std::byte{255}}) {
      Bytes bad = good;
      bad[at] ^= flip;
      if (at == version_at && bad[at] == std::byte{2}) continue;  // is read like version 3
      CHECK_MESSAGE(survives(bad), "byte " << at);
    }
  }
}

TEST_CASE_FIXTURE(StoreFixture, "a chunk whose quick check was changed is told to be right by its digest") {
  const std::vector<Digest> digests = put({text(300, 1), text(300, 2)});
  const fs::path pack = list(packs()).at(0);
  Bytes bytes = read_file(pack);
  bytes[bytes.size() - sizeof(PackFooter) - 1] ^= std::byte{4};  // of the last chunk
  replace(pack, bytes);
  const auto reader = Store::open(store->root());
  CHECK(reader->read(digests[0]) == text(300, 1));
  CHECK(reader->read(digests[1]) == text(300, 2));
}

TEST_CASE_FIXTURE(StoreFixture, "a chunk that its index takes from another place is not handed out") {
  const std::vector<Digest> digests = put({text(300, 1), text(300, 2)});
  const fs::path pack = list(packs()).at(0);
  Bytes bytes = read_file(pack);
  const auto footer = load<PackFooter>(bytes.data() + bytes.size() - sizeof(PackFooter));
  const size_t second = footer.index_offset + sizeof(PackFrame) + sizeof(PackChunk);
  bytes[second + offsetof(PackChunk, offset)] ^= std::byte{1};
  replace(pack, bytes);
  CHECK_THROWS_AS(Store::open(store->root())->read(digests[1]), Error);
}

TEST_CASE_FIXTURE(StoreFixture, "packs of version 1, which have no quick checks, are read") {
  const std::vector<Digest> digests = put({text(300, 1), noise(5000, 2)});
  const fs::path pack = list(packs()).at(0);
  Bytes bytes = read_file(pack);
  auto footer = load<PackFooter>(bytes.data() + bytes.size() - sizeof(PackFooter));
  bytes.resize(bytes.size() - sizeof(PackFooter) - footer.chunks * sizeof(uint64_t));
  footer.version = 1;
  footer.index_digest = Digest::of(ByteSpan(bytes).subspan(footer.index_offset));
  append(bytes, bytes_of(footer));
  fs::remove(pack);
  const fs::path old = packs() / (footer.index_digest.hex() + ".pack");
  write_file_atomic(old, bytes);
  CHECK_NOTHROW(PackFile(old).check_index());
  CHECK(Store::open(store->root())->read(digests[0]) == text(300, 1));
  bytes[bytes.size() / 2] ^= std::byte{1};
  replace(old, bytes);
  CHECK_THROWS_AS(Store::open(store->root())->read(digests[1]), Error);
}

TEST_CASE_FIXTURE(StoreFixture, "fault 8: no chunk is larger than the cap, none is empty") {
  PackWriter writer(store, {}, op);
  CHECK_THROWS_AS(writer.put({}, nullptr), Error);
  CHECK_THROWS_AS(writer.put(Bytes((size_t{64} << 20) + 1), nullptr), Error);
}
