// SPDX-License-Identifier: Apache-2.0
#include "core/memory/huge_pages.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

using Range = std::pair<uint64_t, uint64_t>;

constexpr int madvise_collapse = 25;  // MADV_COLLAPSE, of Linux 6.1 and newer
constexpr size_t most_at_once = 256;
constexpr uint64_t least_mapped_huge = uint64_t{64} << 20;
// Of a mapping, that turn out not to be huge, one after the other: then the rest is taken for no different.
constexpr unsigned most_in_vain = 32;
// Each may take a millisecond, and where the kernel has no huge pages at all, all of them fail.
constexpr unsigned most_failures_in_a_row = 256;

/// The huge pages of a mapping that are whole, and `wanted`, next to each other ones as one range of
/// addresses.
std::vector<Range> whole_ranges(const SharedMapping& m, const PageSource& source,
                                const std::function<bool(uint64_t address)>& wanted) {
  std::vector<Range> ranges;
  if ((m.start - m.offset) % huge_page_bytes != 0) return ranges;
  const auto add = [&](Range covered) {
    uint64_t at = (covered.first + huge_page_bytes - 1) & ~(huge_page_bytes - 1);
    for (; at + huge_page_bytes <= covered.second; at += huge_page_bytes) {
      if (!wanted(at)) continue;
      if (!ranges.empty() && ranges.back().second == at)
        ranges.back().second += huge_page_bytes;
      else
        ranges.emplace_back(at, at + huge_page_bytes);
    }
  };
  Range covered{0, 0};  // by pieces that touch
  for (const Piece& piece : source.pieces()) {
    if (piece.end() <= m.start || piece.start >= m.end) continue;
    if (piece.start != covered.second) {
      add(covered);
      covered.first = piece.start;
    }
    covered.second = piece.end();
  }
  add(covered);
  return ranges;
}

/// A place in our address space where `range` of the pages file is mapped, aligned as in the process.
class Window {
 public:
  Window(const Fd& pages, const SharedMapping& m, const Range& range) : size_(range.second - range.first) {
    void* room = ::mmap(nullptr, size_ + huge_page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) throw Error::sys("cannot reserve addresses");
    room_ = static_cast<std::byte*>(room);
    const auto address = reinterpret_cast<uint64_t>(room_);
    at_ = room_ + ((huge_page_bytes - address % huge_page_bytes) % huge_page_bytes);
    if (::mmap(at_, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, pages.get(),
               static_cast<off_t>(m.offset + (range.first - m.start))) == MAP_FAILED) {
      ::munmap(room_, size_ + huge_page_bytes);
      throw Error::sys("cannot map the shared copy");
    }
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window() { ::munmap(room_, size_ + huge_page_bytes); }

  /// One by one, as the kernel ends where it finds no room, though it may find it for the next: it makes some
  /// as it looks. Returns how many failed.
  uint64_t collapse() const {
    uint64_t failed = 0;
    unsigned in_a_row = 0;
    for (uint64_t at = 0; at < size_ && in_a_row < most_failures_in_a_row; at += huge_page_bytes) {
      const bool works = ::madvise(at_ + at, huge_page_bytes, madvise_collapse) == 0;
      if (!works && failed++ == 0) log::debug("{}", Error::sys("no huge page for the shared copy").what());
      in_a_row = works ? 0 : in_a_row + 1;
    }
    return failed;
  }

 private:
  const size_t size_;
  std::byte* room_ = nullptr;
  std::byte* at_ = nullptr;
};

/// The memory of a process that is to be mapped by huge pages.
class Target {
 public:
  explicit Target(pid_t pid)
      : pid_(pid),
        pagemap_(::open(("/proc/" + std::to_string(pid) + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC)) {}

  /// Reads a byte of each of `count` huge pages from `address` on; false if one cannot be read.
  bool touch(uint64_t address, size_t count) const {
    std::array<char, most_at_once> bytes;
    std::array<iovec, most_at_once> from;
    for (size_t i = 0; i < count; ++i) from[i] = {reinterpret_cast<void*>(address + i * huge_page_bytes), 1};
    const iovec into{bytes.data(), count};
    return ::process_vm_readv(pid_, &into, 1, from.data(), count, 0) == static_cast<ssize_t>(count);
  }
  bool is_mapped(uint64_t address) const {
    constexpr uint64_t is_present = uint64_t{1} << 63;
    uint64_t entry = 0;
    const auto at = static_cast<off_t>(address / page_size * sizeof entry);
    return ::pread(pagemap_.get(), &entry, sizeof entry, at) == sizeof entry && (entry & is_present) != 0;
  }

 private:
  const pid_t pid_;
  const Fd pagemap_;
};

}  // namespace

std::vector<Piece> map_huge(pid_t pid, const SharedProcess& shared, const PageSource& source,
                            std::chrono::steady_clock::time_point until) {
  std::vector<Piece> mapped;
  const Target target(pid);
  for (const SharedMapping& m : shared.mappings()) {
    if (m.end - m.start < least_mapped_huge) continue;
    const auto is_there = [&](uint64_t at) { return shared.pages().has(m, at, huge_page_bytes); };
    unsigned in_vain = 0;
    size_t at_once = 1;  // until it is seen to work
    for (const Range& range : whole_ranges(m, source, is_there)) {
      for (uint64_t at = range.first; at < range.second && in_vain < most_in_vain;) {
        if (std::chrono::steady_clock::now() >= until) return mapped;
        const size_t count = std::min<size_t>(at_once, (range.second - at) / huge_page_bytes);
        if (!target.touch(at, count)) return mapped;
        // Around a fault the kernel maps small pages as well, but none so far away. One huge page stands for
        // all: should another be none, its pages will be asked for.
        const bool works = target.is_mapped(at + huge_page_bytes / 2);
        if (works) mapped.push_back({at, count * huge_page_bytes, at});
        at_once = works ? most_at_once : 1;
        in_vain = works ? 0 : in_vain + 1;
        at += count * huge_page_bytes;
      }
    }
  }
  return mapped;
}

void make_huge(SharedPages& shared, const SnapshotPages& snapshot) {
  Bytes scratch(shared_block_bytes);
  for (const SharedMapping& m : shared.mappings()) {
    const auto source = snapshot.process(m.pid);
    // The kernel makes no huge page where there is none at all yet.
    const auto begin = [&](uint64_t at) {
      return shared.fill(m, at, page_size, *source, scratch, true) == SharedPages::Filled::present;
    };
    for (const Range& range : whole_ranges(m, *source, begin)) {
      const Window window(shared.file(), m, range);
      if (window.collapse() > 0) window.collapse();
    }
  }
}

}  // namespace coldstart
