// SPDX-License-Identifier: Apache-2.0
#include "core/memory/pinned_memory.h"

#include <csignal>
#include <cstring>

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/process_memory.h"
#include "core/checkpoint/shared_images.h"

namespace coldstart {
namespace {

constexpr uint64_t P = page_size;
constexpr uint64_t start = 0x7ea000061000;  // not where a huge page begins, and nothing is there in a process
constexpr uint64_t pages = 12000;           // 46 MiB
constexpr uint64_t empty_from = 4000;       // the snapshot has nothing from here on
constexpr uint64_t empty_to = 8001;

/// Page i has a byte of its own in all its places.
class PatternSource final : public PageSource {
 public:
  PatternSource() {
    mappings_ = {{start, pages * P, start}};
    pieces_ = {{start, empty_from * P, start},
               {start + empty_to * P, (pages - empty_to) * P, start + empty_to * P}};
  }
  static std::byte byte_of(uint64_t page) {
    const bool is_empty = page >= empty_from && page < empty_to;
    return is_empty ? std::byte{0} : static_cast<std::byte>(page % 251 + 1);
  }
  ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan scratch) const override {
    if (broken) throw Error::corrupt("broken");
    for (uint64_t i = 0; i < size; i += P)
      std::fill_n(scratch.begin() + static_cast<ptrdiff_t>(i), P, byte_of((image + i - start) / P));
    return scratch.first(size);
  }
  bool broken = false;
};

/// A process that has the mapping, and nothing in it.
class Empty {
 public:
  explicit Empty(int protection = PROT_READ | PROT_WRITE) {
    void* at = ::mmap(reinterpret_cast<void*>(start), pages * P, protection,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    REQUIRE(at == reinterpret_cast<void*>(start));
    ::madvise(at, pages * P, MADV_HUGEPAGE);
    pid_ = ::fork();
    if (pid_ == 0)
      for (;;) ::pause();
    ::munmap(at, pages * P);
    REQUIRE(pid_ > 0);
  }
  Empty(const Empty&) = delete;
  Empty& operator=(const Empty&) = delete;
  ~Empty() { end(); }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  pid_t pid() const { return pid_; }
  Bytes page(uint64_t number) const {
    Bytes bytes(P);
    const iovec here{bytes.data(), P};
    const iovec there{reinterpret_cast<void*>(start + number * P), P};
    REQUIRE(::process_vm_readv(pid_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(P));
    return bytes;
  }

 private:
  pid_t pid_ = -1;
};

TEST_CASE("pinned memory: all of it is there, what the snapshot has and what it has not") {
  const Empty process;
  const PatternSource source;
  CHECK(bring_pinned(process.pid(), source.mappings()[0], source) == (pages - (empty_to - empty_from)) * P);
  uint64_t resident = 0;
  for (const ProcessMapping& m : mappings_of(process.pid()))
    if (m.range.start == start) resident = m.resident_bytes;
  // Without huge pages those zeros come that are in one piece of 2 MiB with nothing else: a page of each.
  CHECK(resident >= (pages - (empty_to - empty_from)) * P);
  for (uint64_t page = 0; page < pages; page += 7) {
    const Bytes bytes = process.page(page);
    const std::byte want = PatternSource::byte_of(page);
    if (bytes.front() != want || bytes.back() != want) FAIL("page " << page << " is wrong");
  }
}

TEST_CASE("pinned memory: what cannot be read or written is an error") {
  Empty process;
  PatternSource source;
  source.broken = true;
  CHECK_THROWS_WITH_AS(bring_pinned(process.pid(), source.mappings()[0], source), "broken", Error);
  source.broken = false;
  const pid_t pid = process.pid();
  process.end();
  CHECK_THROWS_AS(bring_pinned(pid, source.mappings()[0], source), Error);
  const Empty read_only(PROT_READ);
  CHECK_THROWS_AS(bring_pinned(read_only.pid(), source.mappings()[0], source), Error);
}

}  // namespace
}  // namespace coldstart
