// SPDX-License-Identifier: Apache-2.0
#include "core/base/process_memory.h"

#include <csignal>

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace coldstart;

namespace {

constexpr size_t mib = size_t{1} << 20;

ProcessMapping mapping(uint64_t start, uint64_t end, uint64_t resident, bool writable = true) {
  return {{start, end}, writable, false, false, resident};
}

/// A file of 8 MiB in memory, mapped privately by a child that has touched none of it.
class Mapped {
 public:
  Mapped() {
    const int file = ::memfd_create("test", MFD_CLOEXEC);
    REQUIRE(::ftruncate(file, 8 * mib) == 0);
    at_ = static_cast<char*>(::mmap(nullptr, 8 * mib, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0));
    REQUIRE(at_ != MAP_FAILED);
    const std::vector<char> content(8 * mib, 1);
    REQUIRE(::pwrite(file, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
    ::close(file);
    child_ = ::fork();
    if (child_ == 0)
      for (;;) ::pause();
    REQUIRE(child_ > 0);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  ~Mapped() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    ::munmap(at_, 8 * mib);
  }
  pid_t child() const { return child_; }
  AddressRange range(size_t first, size_t last) const {
    return {reinterpret_cast<uint64_t>(at_) + first, reinterpret_cast<uint64_t>(at_) + last};
  }
  uint64_t resident() const {
    uint64_t bytes = 0;
    for (const ProcessMapping& m : mappings_of(child_))
      if (m.range.start <= range(0, 0).start && range(0, 0).start < m.range.end) bytes = m.resident_bytes;
    return bytes;
  }

 private:
  char* at_ = nullptr;
  pid_t child_ = -1;
};

}  // namespace

TEST_CASE("mappings that grew are those with more in memory than their addresses had") {
  const std::vector<ProcessMapping> before = {mapping(0, 10 * mib, mib),
                                              mapping(20 * mib, 30 * mib, 9 * mib)};
  const std::vector<ProcessMapping> after = {
      mapping(0, 10 * mib, 2 * mib - 1),            // too little
      mapping(12 * mib, 14 * mib, 2 * mib),         // new
      mapping(15 * mib, 17 * mib, 2 * mib, false),  // not what anybody can have written
      mapping(20 * mib, 40 * mib, 19 * mib),        // an old one has become part of it
      mapping(50 * mib, 60 * mib, 0)};
  CHECK(grown_mappings(before, after, mib) ==
        std::vector<AddressRange>{{12 * mib, 14 * mib}, {20 * mib, 40 * mib}});
}

TEST_CASE("pages of another process are made present, those that are wanted and no others") {
  const Mapped mapped;
  const CancelToken cancel;
  REQUIRE(mapped.resident() == 0);
  CHECK(prefault(mapped.child(), {mapped.range(0, mib), mapped.range(4 * mib, 6 * mib)}, cancel) == 3 * mib);
  CHECK(mapped.resident() >= 3 * mib);
  CHECK(mapped.resident() < 5 * mib);
}

TEST_CASE("what is not mapped is left out") {
  const Mapped mapped;
  const CancelToken cancel;
  const AddressRange nowhere{4096, 4096 + 2 * mib};
  CHECK(prefault(mapped.child(), {nowhere, mapped.range(0, 8 * mib)}, cancel) == 8 * mib);
  CHECK(mapped.resident() == 8 * mib);
}

TEST_CASE("of a process that is gone nothing is made present") {
  const CancelToken cancel;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  CHECK(prefault(child, {{0, mib}}, cancel) == 0);
  CHECK(mappings_of(child).empty());
}

TEST_CASE("who is cancelled makes no more pages present") {
  const Mapped mapped;
  CancelToken cancel;
  cancel.cancel();
  CHECK_THROWS(prefault(mapped.child(), {mapped.range(0, 8 * mib)}, cancel));
  CHECK(mapped.resident() == 0);
}
