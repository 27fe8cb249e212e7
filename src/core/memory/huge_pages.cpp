// SPDX-License-Identifier: Apache-2.0
#include "core/memory/huge_pages.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/workers.h"
#include "core/memory/pages_window.h"

namespace coldstart {

namespace {

using Range = std::pair<uint64_t, uint64_t>;

constexpr int madvise_collapse = 25;  // MADV_COLLAPSE, of Linux 6.1 and newer
constexpr size_t most_at_once = 64;
constexpr size_t most_threads = 4;
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

/// Makes a part of a copy huge. Fails in silence, but for the log's details.
class Collapser {
 public:
  explicit Collapser(SharedPages& shared) : shared_(shared) {}

  /// Thread-safe.
  void run(const SharedMapping& m, const PageSource& source, Range range) {
    static thread_local Bytes kept;
    const MutableByteSpan scratch = room_of(kept, shared_block_bytes);
    // The kernel makes no huge page where there is none at all yet.
    for (uint64_t at = range.first; at < range.second && !in_vain(); at += huge_page_bytes)
      if (shared_.fill(m, at, page_size, source, scratch, true) != SharedPages::Filled::present) return;
    const PagesWindow window(shared_.file(), m.offset + (range.first - m.start), range.second - range.first);
    if (collapse(window) > 0) collapse(window);
  }

 private:
  bool in_vain() const { return in_a_row_ >= most_failures_in_a_row; }

  /// One by one, as the kernel ends where it finds no room, though it may find it for the next: it makes some
  /// as it looks. Returns how many failed.
  uint64_t collapse(const PagesWindow& window) {
    uint64_t failed = 0;
    for (uint64_t at = 0; at < window.size() && !in_vain(); at += huge_page_bytes) {
      if (::madvise(window.at() + at, huge_page_bytes, madvise_collapse) == 0) {
        in_a_row_ = 0;
        continue;
      }
      if (failed++ == 0) log::debug("{}", Error::sys("no huge page for the shared copy").what());
      ++in_a_row_;
    }
    return failed;
  }

  SharedPages& shared_;
  std::atomic<unsigned> in_a_row_ = 0;  // failures
};

/// Neighbours of a mapping, as many as are touched at once.
struct Stretch {
  uint64_t start;
  uint64_t end;
  size_t mapping;
};

/// Maps huge pages into a process from outside, with several threads: what takes its time is memory that is
/// in no cache, a byte of each page and what the kernel knows about the page.
class HugeMapper {
 public:
  HugeMapper(pid_t pid, std::vector<Stretch> stretches, size_t mappings,
             std::chrono::steady_clock::time_point until)
      : pid_(pid),
        pagemap_(::open(("/proc/" + std::to_string(pid) + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC)),
        until_(until),
        stretches_(std::move(stretches)),
        mapped_(stretches_.size()),
        in_vain_(mappings) {}

  std::vector<Piece> run() {
    {
      std::vector<std::jthread> helpers;
      const size_t threads = std::min<size_t>({default_jobs(), most_threads, stretches_.size() / 2});
      for (size_t i = 1; i < threads; ++i) helpers.emplace_back([this] { work(); });
      work();
    }
    std::erase_if(mapped_, [](const Piece& piece) { return piece.size == 0; });
    return std::move(mapped_);
  }

 private:
  void work() {
    for (size_t i; (i = next_++) < stretches_.size();) mapped_[i] = map(stretches_[i]);
  }

  /// Around a fault the kernel maps small pages as well, but none so far away as the middle of a huge one.
  /// The first huge page stands for those behind it: should one of them be none, its pages will be asked for.
  Piece map(const Stretch& stretch) {
    std::atomic<unsigned>& in_vain = in_vain_[stretch.mapping];
    for (uint64_t at = stretch.start; at < stretch.end; at += huge_page_bytes) {
      if (in_vain >= most_in_vain || std::chrono::steady_clock::now() >= until_ || !touch(at, 1)) return {};
      if (is_mapped(at + huge_page_bytes / 2)) {
        in_vain = 0;
        const uint64_t more = (stretch.end - at) / huge_page_bytes - 1;
        return {at, (touch(at + huge_page_bytes, more) ? more + 1 : 1) * huge_page_bytes, at};
      }
      ++in_vain;
    }
    return {};
  }

  /// Reads a byte of each of `count` huge pages from `address` on; false if one cannot be read.
  bool touch(uint64_t address, size_t count) const {
    std::array<char, most_at_once> bytes;
    std::array<iovec, most_at_once> from;
    for (size_t i = 0; i < count; ++i)
      // NOLINTNEXTLINE(performance-no-int-to-ptr): an address in the other process
      from[i] = {reinterpret_cast<void*>(address + i * huge_page_bytes), 1};
    const iovec into{bytes.data(), count};
    return ::process_vm_readv(pid_, &into, 1, from.data(), count, 0) == static_cast<ssize_t>(count);
  }
  bool is_mapped(uint64_t address) const {
    constexpr uint64_t is_present = uint64_t{1} << 63;
    uint64_t entry = 0;
    const auto at = static_cast<off_t>(address / page_size * sizeof entry);
    return ::pread(pagemap_.get(), &entry, sizeof entry, at) == sizeof entry && (entry & is_present) != 0;
  }

  const pid_t pid_;
  const Fd pagemap_;
  const std::chrono::steady_clock::time_point until_;
  const std::vector<Stretch> stretches_;
  std::vector<Piece> mapped_;                   // of each stretch, by the thread that took it
  std::vector<std::atomic<unsigned>> in_vain_;  // of each mapping
  std::atomic<size_t> next_{0};
};

}  // namespace

std::vector<Piece> map_huge(pid_t pid, const SharedProcess& shared, const PageSource& source,
                            std::chrono::steady_clock::time_point until) {
  std::vector<Stretch> stretches;
  const std::vector<SharedMapping>& mappings = shared.mappings();
  for (size_t i = 0; i < mappings.size(); ++i) {
    const SharedMapping& m = mappings[i];
    if (m.end - m.start < least_mapped_huge) continue;
    const auto is_there = [&](uint64_t at) { return shared.pages().has(m, at, huge_page_bytes); };
    for (const Range& range : whole_ranges(m, source, is_there))
      for (uint64_t at = range.first; at < range.second; at += most_at_once * huge_page_bytes)
        stretches.push_back({at, std::min(range.second, at + most_at_once * huge_page_bytes), i});
  }
  return HugeMapper(pid, std::move(stretches), mappings.size(), until).run();
}

void make_huge(SharedPages& shared, const SnapshotPages& snapshot) {
  constexpr uint64_t made_at_once = uint64_t{32} << 20;
  constexpr size_t most_waiting = 256;
  Collapser collapser(shared);
  Workers workers(default_jobs(), most_waiting);
  for (const SharedMapping& m : shared.mappings()) {
    const auto source = snapshot.process(m.pid);
    for (const Range& range : whole_ranges(m, *source, [](uint64_t) { return true; }))
      for (uint64_t at = range.first; at < range.second; at += made_at_once)
        workers.submit([&collapser, &m, source, part = Range(at, std::min(range.second, at + made_at_once))] {
          collapser.run(m, *source, part);
        });
  }
  workers.wait();
}

}  // namespace coldstart
