// SPDX-License-Identifier: Apache-2.0
#include "core/memory/shared_pages.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"

namespace coldstart {
namespace {

constexpr uint64_t P = page_size;
constexpr uint64_t at = 0x10000000;

/// 40 pages at `at`, of which 5 in the middle are zeros; page i has the byte i+1.
class PatternSource final : public PageSource {
 public:
  PatternSource() {
    mappings_ = {{at, 40 * P, at}};
    pieces_ = {{at, 20 * P, at}, {at + 25 * P, 15 * P, at + 25 * P}};
  }
  ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan scratch) const override {
    if (broken) throw Error::corrupt("broken");
    read += size;
    for (uint64_t i = 0; i < size; ++i) scratch[i] = static_cast<std::byte>((image + i - at) / P + 1);
    return scratch.first(size);
  }
  bool broken = false;
  mutable std::atomic<uint64_t> read{0};
};

/// Takes its time, so that others come meanwhile.
class SlowSource final : public PageSource {
 public:
  explicit SlowSource(bool fails) : fails_(fails) {
    pieces_ = pattern_.pieces();
    mappings_ = pattern_.mappings();
  }
  ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan scratch) const override {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (fails_.exchange(false)) throw Error::corrupt("the first time only");
    read += size;
    return pattern_.view(image, size, scratch);
  }
  mutable std::atomic<uint64_t> read{0};

 private:
  PatternSource pattern_;
  mutable std::atomic<bool> fails_;
};

class OneProcess final : public SnapshotPages {
 public:
  std::shared_ptr<const PageSource> process(uint32_t) const override { return source; }
  std::shared_ptr<PatternSource> source = std::make_shared<PatternSource>();
};

struct Copy {
  Copy() { SharedPages::create(dir.path(), mappings); }
  /// The byte that page i has in the file.
  unsigned char page(uint64_t i) const {
    std::byte byte{};
    const Fd file = open_file(dir.path() / "pages", O_RDONLY);
    REQUIRE(pread_full(file.get(), std::span(&byte, 1), static_cast<off_t>(mappings[1].offset + i * P)) == 1);
    return static_cast<unsigned char>(byte);
  }
  TempDir dir{"/dev/shm"};
  const std::vector<SharedMapping> mappings = {{1, 0x1000, 0x3000, 0, 0, 0},
                                               {2, at, at + 40 * P, uint64_t{1} << 40, 35 * P, 1}};
  OneProcess snapshot;
  Bytes scratch = Bytes(8 * P);
};

TEST_CASE("shared pages: what is asked for is filled, by whole blocks, once") {
  Copy c;
  SharedPages pages(c.dir.path());
  CHECK(pages.mappings() == c.mappings);
  CHECK(pages.pids() == std::vector<uint32_t>{1, 2});
  const PatternSource& source = *c.snapshot.source;
  CHECK(pages.fill(c.mappings[1], at + 17 * P, P, source, c.scratch, false) == SharedPages::Filled::present);
  CHECK(c.page(16) == 17);
  CHECK(c.page(17) == 18);
  CHECK(c.page(22) == 0);  // zeros in the snapshot
  CHECK(c.page(31) == 32);
  CHECK(c.page(15) == 0);  // another block
  CHECK(source.read == 11 * P);
  CHECK(pages.fill(c.mappings[1], at + 30 * P, 2 * P, source, c.scratch, true) ==
        SharedPages::Filled::present);
  CHECK(source.read == 11 * P);
  CHECK(pages.has(c.mappings[1], at + 16 * P, 16 * P));
  CHECK_FALSE(pages.has(c.mappings[1], at + 16 * P, 17 * P));
  CHECK_FALSE(pages.has(c.mappings[1], at + 15 * P, P));
  CHECK_FALSE(pages.full());

  // Another server of the same copy knows.
  SharedPages other(c.dir.path());
  CHECK(other.fill(c.mappings[1], at, 40 * P, source, c.scratch, false) == SharedPages::Filled::present);
  CHECK(source.read == 35 * P);
  CHECK(c.page(39) == 40);
}

TEST_CASE("shared pages: what another is filling is left to it, unless one insists") {
  Copy c;
  SharedPages pages(c.dir.path());
  c.snapshot.source->broken = true;  // killed in the middle
  CHECK_THROWS_AS(pages.fill(c.mappings[1], at, P, *c.snapshot.source, c.scratch, false), Error);
  c.snapshot.source->broken = false;
  SharedPages other(c.dir.path());
  CHECK(other.fill(c.mappings[1], at, P, *c.snapshot.source, c.scratch, false) == SharedPages::Filled::busy);
  CHECK(c.page(0) == 0);
  CHECK(other.fill(c.mappings[1], at, P, *c.snapshot.source, c.scratch, true) ==
        SharedPages::Filled::present);
  CHECK(c.page(0) == 1);
}

TEST_CASE("shared pages: threads that insist on the same share the work, also where one fails") {
  for (const bool fails : {false, true}) {
    CAPTURE(fails);
    Copy c;
    SharedPages pages(c.dir.path());
    SlowSource source(fails);
    std::atomic<int> failed = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        Bytes scratch(8 * P);
        std::optional<SharedPages::Filled> filled;
        try {
          filled = pages.fill(c.mappings[1], at, 40 * P, source, scratch, true);
        } catch (const Error&) {
          ++failed;
        }
        if (filled && *filled != SharedPages::Filled::present) ++failed;
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(failed == (fails ? 1 : 0));
    CHECK_FALSE(pages.full());  // the other process's are lacking
    CHECK(pages.has(c.mappings[1], at, 40 * P));
    CHECK(source.read == 35 * P);
    CHECK(c.page(39) == 40);
  }
}

TEST_CASE("shared pages: a process finds its mappings by the addresses of the dump") {
  Copy c;
  const auto pages = std::make_shared<SharedPages>(c.dir.path());
  const SharedProcess process(pages, 2);
  CHECK(process.find(at - 1) == nullptr);
  REQUIRE(process.find(at) != nullptr);
  CHECK(process.find(at + 40 * P - 1)->offset == uint64_t{1} << 40);
  CHECK(process.find(at + 40 * P) == nullptr);
  CHECK(process.find(0x1000) == nullptr);  // of the other process
  CHECK(SharedProcess(pages, 3).mappings().empty());
}

TEST_CASE("shared pages: a damaged copy is refused") {
  Copy c;
  REQUIRE(::truncate((c.dir.path() / "present").c_str(), 1) == 0);
  CHECK_THROWS_AS(SharedPages{c.dir.path()}, Error);
  REQUIRE(::truncate((c.dir.path() / "layout").c_str(), 9) == 0);
  CHECK_THROWS_AS(SharedPages{c.dir.path()}, Error);
}

}  // namespace
}  // namespace coldstart
