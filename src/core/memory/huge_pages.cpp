// SPDX-License-Identifier: Apache-2.0
#include "core/memory/huge_pages.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

using Range = std::pair<uint64_t, uint64_t>;

// What newer headers have: <linux/fs.h> from Linux 6.7 on, and MADV_COLLAPSE from 6.1 on.
struct PageRegion {
  uint64_t start, end, categories;
};
struct ScanRequest {
  uint64_t size, flags, start, end, walk_end, vec, vec_length, max_pages, inverted, mask, any_of, returned;
};
constexpr unsigned long pagemap_scan = _IOWR('f', 16, ScanRequest);
constexpr uint64_t page_is_present = 1 << 3;
constexpr uint64_t page_is_huge = 1 << 6;
constexpr int madvise_collapse = 25;

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

  bool collapse() const { return ::madvise(at_, size_, madvise_collapse) == 0; }

 private:
  const size_t size_;
  std::byte* room_ = nullptr;
  std::byte* at_ = nullptr;
};

/// The parts of [start, end) of a process that huge pages are mapped in.
void find_huge(const Fd& pagemap, const Range& range, std::vector<Range>& found) {
  std::array<PageRegion, 64> regions{};
  for (uint64_t at = range.first; at < range.second;) {
    ScanRequest scan{};
    scan.size = sizeof scan;
    scan.start = at;
    scan.end = range.second;
    scan.vec = reinterpret_cast<uint64_t>(regions.data());
    scan.vec_length = regions.size();
    scan.mask = scan.returned = page_is_present | page_is_huge;
    const int n = check(::ioctl(pagemap.get(), pagemap_scan, &scan), "cannot scan a page map");
    for (int i = 0; i < n; ++i)
      found.emplace_back(regions[static_cast<size_t>(i)].start, regions[static_cast<size_t>(i)].end);
    if (scan.walk_end <= at) return;
    at = scan.walk_end;
  }
}

}  // namespace

void make_huge(SharedPages& shared, const SnapshotPages& snapshot) {
  Bytes scratch(shared_block_bytes);
  for (const SharedMapping& m : shared.mappings()) {
    const auto source = snapshot.process(m.pid);
    // The kernel makes no huge page where there is none at all yet.
    const auto begin = [&](uint64_t at) {
      return shared.fill(m, at, page_size, *source, scratch, true) == SharedPages::Filled::present;
    };
    for (const Range& range : whole_ranges(m, *source, begin))
      if (!Window(shared.file(), m, range).collapse()) {
        log::debug("{}", Error::sys("no huge pages for the shared copy").what());
        return;
      }
  }
}

std::vector<Range> map_huge(pid_t pid, const SharedProcess& shared, const PageSource& source) {
  std::vector<Range> found;
  try {
    const Fd memory = open_file(fmt::format("/proc/{}/mem", pid), O_RDONLY);
    const Fd pagemap = open_file(fmt::format("/proc/{}/pagemap", pid), O_RDONLY);
    for (const SharedMapping& m : shared.mappings()) {
      const auto is_present = [&](uint64_t at) { return shared.pages().is_present(m, at, huge_page_bytes); };
      for (const Range& range : whole_ranges(m, source, is_present)) {
        // A read of a byte on the process's behalf makes the kernel map all of the page that it is in.
        std::byte byte{};
        for (uint64_t at = range.first; at < range.second; at += huge_page_bytes)
          if (::pread(memory.get(), &byte, 1, static_cast<off_t>(at)) != 1)
            throw Error::sys("cannot touch the process's memory");
        find_huge(pagemap, range, found);
      }
    }
  } catch (const Error& e) {
    log::debug("no huge pages for process {}: {}", pid, e.what());
  }
  return found;
}

}  // namespace coldstart
