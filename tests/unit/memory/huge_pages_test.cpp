// SPDX-License-Identifier: Apache-2.0
#include "core/memory/huge_pages.h"

#include <algorithm>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/files.h"

namespace coldstart {
namespace {

constexpr uint64_t P = page_size;
constexpr uint64_t start = 0x7f0000061000;  // not where a huge page begins
constexpr uint64_t pages = 4096;            // 16 MiB
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

}  // namespace
}  // namespace coldstart
