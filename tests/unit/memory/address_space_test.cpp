// SPDX-License-Identifier: Apache-2.0
// On the test's own memory: it is registered here as CRIU registers that of a restored process.
#include "core/memory/address_space.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {
namespace {

constexpr uint64_t P = page_size;

/// Page i of the memory has the byte i+1 in all its places; the last `zeros` pages are not in the snapshot.
class PatternSource final : public PageSource {
 public:
  PatternSource(uint64_t start, uint64_t pages, uint64_t zeros) : start_(start) {
    mappings_ = {{start, pages * P, start}};
    pieces_ = {{start, (pages - zeros) * P, start}};
  }
  ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan scratch) const override {
    if (broken) throw Error::corrupt("broken");
    for (uint64_t i = 0; i < size; ++i) scratch[i] = static_cast<std::byte>((image + i - start_) / P + 1);
    return scratch.first(size);
  }
  std::atomic<bool> broken{false};

 private:
  const uint64_t start_;
};

/// Memory of ours under an AddressSpace that a thread serves.
struct Served {
  static constexpr uint64_t pages = 600;
  static constexpr uint64_t zeros = 100;

  Served() {
    void* p = ::mmap(nullptr, pages * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    at = static_cast<volatile unsigned char*>(p);
    Fd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
    if (!fd) return;
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP |
                   UFFD_FEATURE_EVENT_REMOVE;
    REQUIRE(::ioctl(fd.get(), UFFDIO_API, &api) == 0);
    const auto address = reinterpret_cast<uint64_t>(p);
    uffdio_register range{};
    range.range = {address, pages * P};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    REQUIRE(::ioctl(fd.get(), UFFDIO_REGISTER, &range) == 0);
    watched = fd.get();
    source = std::make_shared<PatternSource>(address, pages, zeros);
    space = std::make_unique<AddressSpace>(std::move(fd), source, counters);
    server = std::thread([this] { serve(); });
  }
  ~Served() {
    stop = true;
    if (server.joinable()) server.join();
  }
  void serve() {
    while (!stop && !space->finished()) {
      pollfd p{watched, POLLIN, 0};
      if (::poll(&p, 1, 1) <= 0 || held) continue;
      for (auto& child : space->serve()) children.push_back(std::move(child));
    }
  }
  void push_all() {
    Bytes scratch(64 * P);
    space->finish_when_filled();
    while (space->push(scratch) != AddressSpace::Push::nothing) {
    }
  }

  volatile unsigned char* at = nullptr;
  FillCounters counters;
  std::shared_ptr<PatternSource> source;
  std::unique_ptr<AddressSpace> space;
  std::vector<std::shared_ptr<AddressSpace>> children;
  int watched = -1;
  std::atomic<bool> stop{false};
  std::atomic<bool> held{false};  // faults are not answered
  std::thread server;
};

#define NEED_USERFAULTFD(served)                                                                   \
  if (!(served).space) {                                                                           \
    MESSAGE("skipped: userfaultfd for kernel faults needs root (" << std::strerror(errno) << ")"); \
    return;                                                                                        \
  }

unsigned char pattern(uint64_t page) {
  return static_cast<unsigned char>(page + 1);
}

TEST_CASE("address space: faults bring the snapshot's pages and their neighbours, others are zeros") {
  Served s;
  NEED_USERFAULTFD(s);
  CHECK(s.at[37 * P + 5] == pattern(37));
  while (s.counters.fault_pages == 0) std::this_thread::yield();  // it wakes us before it counts
  CHECK(s.counters.fault_pages > 1);
  CHECK(s.counters.fault_pages <= 16);
  CHECK(s.at[550 * P] == 0);
  while (s.counters.zero_pages == 0) std::this_thread::yield();
  CHECK(s.counters.zero_pages > 0);
  CHECK(s.counters.faults == 2);
  CHECK(s.space->pending_bytes() == 500 * P - s.counters.fault_pages * P);
}

TEST_CASE("address space: pushing fills everything and ends the service") {
  Served s;
  NEED_USERFAULTFD(s);
  s.at[3 * P] = 99;
  s.push_all();
  s.server.join();  // which may still be at the fault above: it wakes the thread first, and counts then
  CHECK(s.space->finished());
  for (uint64_t i = 0; i < Served::pages; ++i)
    CHECK(s.at[i * P + 1] == (i < Served::pages - Served::zeros ? pattern(i) : 0));
  CHECK(s.at[3 * P] == 99);
  CHECK(s.counters.fault_pages + s.counters.pushed_pages == 500);
}

TEST_CASE("address space: who waits for a page that is there already is woken") {
  Served s;
  NEED_USERFAULTFD(s);
  s.held = true;
  std::atomic<bool> went_on{false};
  std::thread reader([&] {
    CHECK(s.at[37 * P] == 38);
    went_on = true;
  });
  pollfd fault{s.watched, POLLIN, 0};
  REQUIRE(::poll(&fault, 1, 10'000) == 1);
  // As when another thread copies the page on write: for a moment there is none, and the kernel lets this
  // one wait.
  Bytes page(P, std::byte{38});
  uffdio_copy copy{};
  copy.dst = reinterpret_cast<uint64_t>(s.at) + 37 * P;
  copy.src = reinterpret_cast<uint64_t>(page.data());
  copy.len = P;
  copy.mode = UFFDIO_COPY_MODE_DONTWAKE;
  REQUIRE(::ioctl(s.watched, UFFDIO_COPY, &copy) == 0);
  s.held = false;
  for (int i = 0; i < 5000 && !went_on; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(went_on);
  uffdio_range all{reinterpret_cast<uint64_t>(s.at), Served::pages * P};
  REQUIRE(::ioctl(s.watched, UFFDIO_WAKE, &all) == 0);
  reader.join();
}

TEST_CASE("address space: discarded pages are zeros, whether they had been filled or not") {
  Served s;
  NEED_USERFAULTFD(s);
  CHECK(s.at[100 * P] == pattern(100));
  REQUIRE(::madvise(const_cast<unsigned char*>(s.at) + 90 * P, 100 * P, MADV_DONTNEED) == 0);
  for (uint64_t i = 90; i < 190; ++i) CHECK(s.at[i * P] == 0);
  CHECK(s.at[89 * P] == pattern(89));
  CHECK(s.at[190 * P] == pattern(190));
  s.push_all();
  for (uint64_t i = 90; i < 190; ++i) CHECK(s.at[i * P] == 0);
}

TEST_CASE("address space: moved memory takes its pages along and grows by zeros") {
  Served s;
  NEED_USERFAULTFD(s);
  auto* from = const_cast<unsigned char*>(s.at) + 200 * P;
  void* moved = ::mremap(from, 50 * P, 80 * P, MREMAP_MAYMOVE);
  REQUIRE(moved != MAP_FAILED);
  auto* to = static_cast<volatile unsigned char*>(moved);
  CHECK(to[10 * P] == pattern(210));
  s.push_all();
  for (uint64_t i = 0; i < 80; ++i) CHECK(to[i * P] == (i < 50 ? pattern(200 + i) : 0));
  CHECK(s.at[199 * P] == pattern(199));
  CHECK(s.at[250 * P] == pattern(250));
}

TEST_CASE("address space: what is pushed while its mapping moves is not lost") {
  // A mapping may be gone from where it is looked for before the kernel says that anything changes.
  for (int round = 0; round < 8; ++round) {
    Served s;
    NEED_USERFAULTFD(s);
    void* const here = const_cast<unsigned char*>(s.at);
    void* const there = ::mmap(nullptr, Served::pages * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(there != MAP_FAILED);
    void* now = here;
    bool moved = true;
    std::thread mover([&] {
      for (int i = 0; moved && i < 300; ++i) {
        void* const next = now == here ? there : here;
        moved =
            ::mremap(now, Served::pages * P, Served::pages * P, MREMAP_MAYMOVE | MREMAP_FIXED, next) == next;
        now = moved ? next : now;
      }
    });
    Bytes scratch(P);
    while (s.space->push(scratch) != AddressSpace::Push::nothing) {
    }
    mover.join();
    REQUIRE(moved);
    const auto* at = static_cast<volatile unsigned char*>(now);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < Served::pages - Served::zeros; ++i) wrong += at[i * P] != pattern(i);
    REQUIRE(wrong == 0);
    s.space->finish_when_filled();
    ::munmap(now, Served::pages * P);
  }
}

TEST_CASE("address space: a forked child is served on its own") {
  Served s;
  NEED_USERFAULTFD(s);
  const pid_t child = ::fork();
  if (child == 0) {
    // Blocks until the parent's test serves it.
    const bool right = s.at[300 * P] == pattern(300) && s.at[590 * P] == 0;
    ::_exit(right ? 0 : 1);
  }
  REQUIRE(child > 0);
  s.stop = true;
  s.server.join();
  REQUIRE(s.children.size() == 1);
  CHECK(s.children[0]->pending_bytes() == s.space->pending_bytes());
  int status = -1;
  while (::waitpid(child, &status, WNOHANG) == 0) s.children[0]->serve();
  CHECK(status == 0);
  // Its memory is gone, which pushing finds out.
  Bytes scratch(P);
  s.children[0]->push(scratch);
  CHECK(s.children[0]->finished());
  s.push_all();
}

/// The memory of `s` under another address space, which nobody serves: all of it is to be pinned.
std::unique_ptr<AddressSpace> with_all_pinned(Served& s) {
  s.stop = true;
  s.server.join();
  const uint64_t start = s.source->mappings().front().start;
  const std::vector<PinnedMapping> pinned = {{1, start, start + Served::pages * P}};
  Fd same(::fcntl(s.watched, F_DUPFD_CLOEXEC, 0));
  return std::make_unique<AddressSpace>(std::move(same), s.source, s.counters, nullptr, pinned);
}

TEST_CASE("address space: what is to be pinned of a process that we do not see comes like all else") {
  Served s;
  NEED_USERFAULTFD(s);
  const auto space = with_all_pinned(s);
  Bytes scratch(64 * P);
  space->finish_when_filled();
  CHECK(space->push(scratch) == AddressSpace::Push::nothing);
  CHECK(!space->finished());  // it is to be brought first
  space->bring_pinned(0);
  CHECK(space->pending_bytes() == 500 * P);
  while (space->push(scratch) != AddressSpace::Push::nothing) {
  }
  CHECK(space->finished());
  for (uint64_t page = 0; page < 500; ++page) CHECK(s.at[page * P] == pattern(page));
}

TEST_CASE("address space: what is to be pinned is there, and served no more") {
  Served s;
  NEED_USERFAULTFD(s);
  const auto space = with_all_pinned(s);
  space->bring_pinned(::getpid());
  CHECK(s.counters.pushed_pages == 500);
  CHECK(space->pending_bytes() == 0);
  // Nobody answers faults: these would never end.
  for (uint64_t page = 0; page < Served::pages; ++page)
    CHECK(s.at[page * P] == (page < 500 ? pattern(page) : 0));
  space->finish_when_filled();
  CHECK(space->finished());
}

TEST_CASE("address space: pages that cannot be read are an error, and nothing is filled") {
  Served s;
  NEED_USERFAULTFD(s);
  Bytes scratch(P);
  s.source->broken = true;
  CHECK_THROWS_AS(s.space->push(scratch), Error);
  CHECK(s.space->pending_bytes() == 500 * P);
  s.source->broken = false;
  s.push_all();
}

}  // namespace
}  // namespace coldstart
