// SPDX-License-Identifier: Apache-2.0
#include "core/memory/huge_pages.h"

#include <functional>
#include <utility>
#include <vector>

#include <sys/mman.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

using Range = std::pair<uint64_t, uint64_t>;

constexpr int madvise_collapse = 25;  // MADV_COLLAPSE, of Linux 6.1 and newer

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

}  // namespace coldstart
