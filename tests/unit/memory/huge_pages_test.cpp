// SPDX-License-Identifier: Apache-2.0
#include "core/memory/huge_pages.h"

#include <algorithm>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/files.h"
#include "core/base/subprocess.h"

namespace coldstart {
namespace {

constexpr uint64_t P = page_size;
constexpr uint64_t start = 0x7ea000061000;  // not where a huge page begins, and nothing is there in a process
constexpr uint64_t pages = 20000;           // 78 MiB
constexpr uint64_t hole = 1700;             // a page that the snapshot does not have

/// Page i has a byte of its own in all its places.
class PatternSource final : public PageSource {
 public:
  PatternSource() {
    mappings_ = {{start, pages * P, start}};
    // Pieces that touch are one to a huge page.
    pieces_ = {{start, 100 * P, start},
               {start + 100 * P, (hole - 100) * P, start + 100 * P},
               {start + (hole + 1) * P, (pages - hole - 1) * P, start + (hole + 1) * P}};
  }
  static std::byte byte_of(uint64_t page) { return static_cast<std::byte>(page % 251 + 1); }
  ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan scratch) const override {
    for (uint64_t i = 0; i < size; i += P)
      std::fill_n(scratch.begin() + static_cast<ptrdiff_t>(i), P, byte_of((image + i - start) / P));
    return scratch.first(size);
  }
};

class OneProcess final : public SnapshotPages {
 public:
  std::shared_ptr<const PageSource> process(uint32_t) const override {
    return std::make_shared<PatternSource>();
  }
};

TEST_CASE("huge pages: the copy holds what the snapshot has, and no more than that") {
  const TempDir dir("/dev/shm");
  const SharedMapping mapping{1, start, start + pages * P, start % huge_page_bytes, (pages - 1) * P, 0};
  SharedPages::create(dir.path(), {mapping});
  SharedPages shared(dir.path());
  const OneProcess snapshot;
  make_huge(shared, snapshot);
  CHECK(fill_all(shared, snapshot));
  for (uint64_t page = 0; page < pages; ++page) {
    Bytes bytes(P);
    REQUIRE(pread_full(shared.file().get(), bytes, static_cast<off_t>(mapping.offset + page * P)) == P);
    const std::byte want = page == hole ? std::byte{0} : PatternSource::byte_of(page);
    if (bytes.front() != want || bytes.back() != want) FAIL("page " << page << " is wrong");
  }
  struct stat st {};
  REQUIRE(::fstat(shared.file().get(), &st) == 0);
  CHECK(static_cast<uint64_t>(st.st_blocks) * 512 == (pages - 1) * P);
}

/// Waits, with the pages file mapped as a restored process has it, until it is to end. Then it tells whether
/// it sees what it should.
class Mapper {
 public:
  Mapper(const SharedPages& shared, const SharedMapping& m) : go_(make_pipe()) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      go_.write.reset();
      ::_exit(look(shared, m) ? 0 : 1);
    }
    child_ = Child(pid);
    std::byte there{};
    REQUIRE(read_full(ready_.read.get(), std::span(&there, 1)) == 1);
  }
  pid_t pid() const { return child_.pid(); }
  bool sees_all() {
    go_.write.reset();
    return child_.wait().ok();
  }

 private:
  bool look(const SharedPages& shared, const SharedMapping& m) const {
    void* at = ::mmap(reinterpret_cast<void*>(m.start), m.end - m.start, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_FIXED_NOREPLACE, shared.file().get(), static_cast<off_t>(m.offset));
    if (at != reinterpret_cast<void*>(m.start)) return false;
    write_full(ready_.write.get(), as_bytes("+"));
    std::byte none{};
    read_full(go_.read.get(), std::span(&none, 1));
    const auto* bytes = static_cast<const std::byte*>(at);
    for (uint64_t page = 0; page < pages; ++page) {
      const std::byte want = page == hole ? std::byte{0} : PatternSource::byte_of(page);
      if (bytes[page * P] != want || bytes[page * P + P - 1] != want) return false;
    }
    return true;
  }

  Pipe go_;
  Pipe ready_ = make_pipe();
  Child child_;
};

TEST_CASE("huge pages: what is whole of them, and in the copy, is mapped before the process runs") {
  const TempDir dir("/dev/shm");
  const SharedMapping mapping{1, start, start + pages * P, start % huge_page_bytes, (pages - 1) * P, 0};
  SharedPages::create(dir.path(), {mapping});
  const auto shared = std::make_shared<SharedPages>(dir.path());
  const OneProcess snapshot;
  const SharedProcess process(shared, 1);
  const auto later = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  make_huge(*shared, snapshot);
  {
    // All but the first page of each is still to come, which nobody may see.
    Mapper mapper(*shared, mapping);
    CHECK(map_huge(mapper.pid(), process, PatternSource(), later).empty());
  }
  CHECK(fill_all(*shared, snapshot));
  Mapper mapper(*shared, mapping);
  CHECK(map_huge(mapper.pid(), process, PatternSource(), std::chrono::steady_clock::now()).empty());
  const std::vector<Piece> mapped = map_huge(mapper.pid(), process, PatternSource(), later);
  const auto huge_page_of = [](uint64_t address) { return address & ~(huge_page_bytes - 1); };
  uint64_t bytes = 0;
  for (const Piece& piece : mapped) {
    bytes += piece.size;
    CHECK(piece.start % huge_page_bytes == 0);
    CHECK(piece.image == piece.start);
    CHECK((huge_page_of(start + hole * P) < piece.start || huge_page_of(start + hole * P) >= piece.end()));
  }
  // All but the two ends and the one with the hole.
  CHECK(bytes == huge_page_of(start + pages * P) - huge_page_of(start) - 2 * huge_page_bytes);
  CHECK(mapper.sees_all());
  const pid_t gone = Child(SpawnOptions{.argv = {"true"}}).pid();
  CHECK(map_huge(gone, process, PatternSource(), later).empty());
}

}  // namespace
}  // namespace coldstart
