// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <thread>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/subprocess.h"
#include "store_fixture.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

/// A manifest of these tests: its text is the digests it leads to.
Bytes manifest_of(const std::vector<Digest>& digests) {
  std::string text = "manifest\n";
  for (const Digest& d : digests) text += d.text() + "\n";
  return to_bytes(text);
}

void walk(Store& store, const Digest& manifest, std::vector<Digest>& out) {
  const Bytes bytes = store.read(manifest);
  std::string_view text = as_text(bytes);
  text.remove_prefix(text.find('\n') + 1);
  for (; !text.empty(); text.remove_prefix(text.find('\n') + 1))
    out.push_back(Digest::parse(text.substr(0, text.find('\n'))).value());
}

const ManifestWalkers walkers = {{RefKind::image, walk}, {RefKind::snapshot, walk}};

size_t count(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

struct GcFixture : StoreFixture {
  /// Chunks and a manifest in one pack, without a reference; gives the manifest.
  Digest object(const std::vector<Bytes>& chunks, const std::string& ref = {}) {
    std::vector<Digest> digests(chunks.size());
    PackWriter writer(store, {.frame_bytes = 4096}, op);
    for (size_t i = 0; i < chunks.size(); ++i) writer.put(chunks[i], &digests[i]);
    writer.flush();
    const Digest manifest = writer.put_now(manifest_of(digests));
    writer.finish();
    if (!ref.empty()) store->set_ref(RefKind::image, RefName::parse(ref), manifest);
    return manifest;
  }
  Store::GcResult gc(bool dry_run = false) { return store->gc(walkers, dry_run, op); }
  std::vector<std::string> fsck() { return Store::open(store->root())->fsck(walkers, op).problems; }
};

}  // namespace

TEST_CASE_FIXTURE(GcFixture, "gc removes what no reference leads to, and only that") {
  object({noise(3000, 1), noise(3000, 2)}, "keep");
  const Digest gone = object({noise(3000, 3)}, "drop");
  store->remove_ref(RefKind::image, RefName::parse("drop"));
  const StoreStat before = store->stat(walkers);
  CHECK(before.packs == 2);
  CHECK(before.images == 1);
  CHECK(before.garbage_bytes > 3000);

  const Store::GcResult estimate = gc(true);
  CHECK(estimate.removed_packs == 1);
  CHECK(count(packs()) == 2);
  const Store::GcResult result = gc();
  CHECK(result.removed_packs == 1);
  CHECK(result.freed_bytes == estimate.freed_bytes);
  CHECK(count(packs()) == 1);
  CHECK_FALSE(store->has(gone));
  CHECK(store->read(Digest::of(noise(3000, 2))) == noise(3000, 2));
  CHECK(store->stat(walkers).garbage_bytes == 0);
  CHECK(fsck().empty());
}

TEST_CASE_FIXTURE(GcFixture, "gc rewrites packs that are mostly garbage") {
  // One pack; the second object lives on chunks of the first.
  std::vector<Bytes> chunks;
  for (unsigned i = 0; i < 40; ++i) chunks.push_back(i % 2 == 0 ? noise(1500, i) : text(1500, i));
  object(chunks, "all");
  const std::vector<Bytes> some(chunks.begin() + 3, chunks.begin() + 9);
  object(some, "some");
  store->remove_ref(RefKind::image, RefName::parse("all"));
  const uint64_t before = store->stat(walkers).stored_bytes;
  const Store::GcResult result = gc();
  CHECK(result.rewritten_packs == 1);
  const StoreStat after = store->stat(walkers);
  CHECK(after.stored_bytes == before - result.freed_bytes);
  CHECK(after.chunks == some.size() + 1);
  CHECK(after.garbage_bytes == 0);
  for (const Bytes& chunk : some) CHECK(store->read(Digest::of(chunk)) == chunk);
  CHECK(fsck().empty());
  CHECK(gc().freed_bytes == 0);
}

TEST_CASE_FIXTURE(GcFixture, "fault 6: what a reader has open stays readable through gc") {
  object({noise(3000, 1)}, "x");
  const auto reader = Store::open(store->root());
  CHECK(reader->has(Digest::of(noise(3000, 1))));
  store->remove_ref(RefKind::image, RefName::parse("x"));
  CHECK(gc().removed_packs == 1);
  CHECK(reader->read(Digest::of(noise(3000, 1))) == noise(3000, 1));
}

TEST_CASE_FIXTURE(GcFixture, "fault 6: a lease keeps content whose reference is gone") {
  const Digest manifest = object({noise(3000, 1)}, "x");
  {
    const Store::Lease lease = store->lease("mount", {{RefKind::image, manifest}});
    store->remove_ref(RefKind::image, RefName::parse("x"));
    CHECK(gc().removed_packs == 0);
    CHECK(store->read(Digest::of(noise(3000, 1))) == noise(3000, 1));
  }
  CHECK(count(store->root() / "leases") == 0);
  CHECK(gc().removed_packs == 1);
  CHECK_THROWS_AS(store->lease("mount", {{RefKind::image, manifest}}), Error);
  CHECK(count(store->root() / "leases") == 0);
}

TEST_CASE_FIXTURE(GcFixture,
                  "fault 6: a forked child's lease outlives the parent's, and dies with the child") {
  const Digest manifest = object({noise(3000, 1)}, "x");
  std::optional<Store::Lease> lease = store->lease("mount", {{RefKind::image, manifest}});
  store->remove_ref(RefKind::image, RefName::parse("x"));
  Pipe pipe = make_pipe();
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    pipe.write.reset();
    char c;
    [[maybe_unused]] const ssize_t n = ::read(pipe.read.get(), &c, 1);
    ::_exit(0);
  }
  Child child(pid);
  pipe.read.reset();
  lease.reset();
  CHECK(gc().removed_packs == 0);
  pipe.write.reset();
  child.wait();
  const Store::GcResult result = gc();
  CHECK(result.removed_packs == 1);
  CHECK(result.removed_leftovers == 1);
}

TEST_CASE_FIXTURE(GcFixture, "fault 6: gc waits for a writer, which may count on what it found") {
  object({noise(3000, 1)}, "x");
  store->remove_ref(RefKind::image, RefName::parse("x"));
  const auto other = Store::open(store->root());
  std::optional<PackWriter> writer;
  writer.emplace(other, PackOptions{}, op);
  Digest digest;
  writer->put(noise(3000, 1), &digest);
  writer->flush();
  CHECK(writer->new_chunks() == 0);
  std::thread collector([&] { gc(); });
  const Digest manifest = writer->put_now(manifest_of({digest}));
  writer->finish();
  other->set_ref(RefKind::image, RefName::parse("y"), manifest);
  writer.reset();
  collector.join();
  CHECK(store->read(digest) == noise(3000, 1));
  CHECK(fsck().empty());
}

TEST_CASE_FIXTURE(GcFixture, "gc that waits can be cancelled") {
  const PackWriter writer(store, {}, op);
  cancel.cancel(2);
  CHECK_THROWS_AS(gc(), Error);
}

TEST_CASE_FIXTURE(GcFixture, "a writer that found a pack does not count on it once gc removed it") {
  object({noise(3000, 1)}, "x");
  const auto other = Store::open(store->root());
  CHECK(other->has(Digest::of(noise(3000, 1))));
  store->remove_ref(RefKind::image, RefName::parse("x"));
  gc();
  PackWriter writer(other, {}, op);
  writer.put(noise(3000, 1), nullptr);
  writer.finish();
  CHECK(writer.new_chunks() == 1);
  CHECK(Store::open(store->root())->read(Digest::of(noise(3000, 1))) == noise(3000, 1));
}

TEST_CASE_FIXTURE(GcFixture, "fault 1: gc collects what a killed process left, not what a living one makes") {
  fs::create_directories(store->root() / "tmp/dead");
  write_file_atomic(store->root() / "tmp/dead/pack.1", noise(50000, 1));
  write_file_atomic(store->root() / "leases/mount-dead", {});
  write_file_atomic(store->root() / "refs/images/.x:latest.abc", {});
  const Store::Scratch living = store->scratch();
  write_file_atomic(living.path() / "file", noise(1000, 1));
  CHECK(store->stat(walkers).leftover_bytes >= 50000);
  const Store::GcResult result = gc();
  CHECK(result.removed_leftovers == 3);
  CHECK(result.freed_bytes >= 50000);
  CHECK(fs::exists(living.path() / "file"));
  CHECK(store->stat(walkers).leftover_bytes == 0);
}

TEST_CASE_FIXTURE(GcFixture, "gc removes nothing while a reference cannot be followed") {
  object({noise(3000, 1)}, "x");
  object({noise(3000, 2)});
  write_file_atomic(store->root() / "refs/images/bad:latest", as_bytes("{"));
  CHECK_THROWS_AS(gc(), Error);
  CHECK(count(packs()) == 2);
  store->remove_ref(RefKind::image, RefName::parse("bad"));
  CHECK_THROWS_AS(store->gc({}, false, op), Error);
  CHECK(count(packs()) == 2);
  CHECK(gc().removed_packs == 1);
}

TEST_CASE_FIXTURE(GcFixture, "fault 3: fsck finds any changed byte of a pack, and what it breaks") {
  object({text(3000, 1), noise(300, 2)}, "x");
  const fs::path pack = fs::directory_iterator(packs())->path();
  const Bytes good = read_file(pack);
  CHECK(fsck().empty());
  for (size_t at = 0; at < good.size(); at += 7) {
    Bytes bad = good;
    bad[at] ^= std::byte{0x10};
    replace(pack, bad);
    CHECK_MESSAGE(!fsck().empty(), "byte " << at);
  }
  fs::remove(pack);
  const auto problems = fsck();
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find("the image x:latest: its manifest") != std::string::npos);
}

TEST_CASE_FIXTURE(GcFixture, "fault 6: two processes that pack the same at once") {
  std::vector<Bytes> chunks;
  for (unsigned i = 0; i < 200; ++i) chunks.push_back(text(2000, i));
  std::vector<Child> children;
  for (unsigned n = 0; n < 2; ++n) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      int status = 1;
      try {
        StoreFixture own;
        const auto shared = Store::open(store->root());
        PackWriter writer(shared, {.frame_bytes = 4096}, own.op);
        std::vector<Digest> digests(chunks.size());
        for (size_t i = 0; i < chunks.size(); ++i) writer.put(chunks[i], &digests[i]);
        writer.flush();
        const Digest manifest = writer.put_now(manifest_of(digests));
        writer.finish();
        shared->set_ref(RefKind::image, RefName::parse("both" + std::to_string(n)), manifest);
        status = 0;
      } catch (const std::exception&) {
      }
      ::_exit(status);
    }
    children.emplace_back(pid);
  }
  for (Child& child : children) CHECK(child.wait().ok());
  CHECK(fsck().empty());
  CHECK(store->refs(RefKind::image).size() == 2);
  gc();
  CHECK(fsck().empty());
}
