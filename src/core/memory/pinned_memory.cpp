// SPDX-License-Identifier: Apache-2.0
#include "core/memory/pinned_memory.h"

#include <algorithm>
#include <atomic>

#include <fmt/format.h>
#include <sys/uio.h>

#include "core/base/error.h"
#include "core/base/workers.h"

namespace coldstart {

namespace {

// What is read, perhaps decompressed, and then written, is still in the processor's cache.
constexpr uint64_t written_at_once = uint64_t{256} << 10;
constexpr uint64_t taken_at_once = 8 * huge_page_bytes;  // by a thread

class Bringer {
 public:
  Bringer(pid_t pid, const PageSource& source) : pid_(pid), source_(source) {}

  /// A stretch that begins and ends where huge pages do, or the mapping does.
  void bring(uint64_t start, uint64_t end) {
    for (uint64_t at = start; at < end;) {
      const uint64_t next = std::min(end, (at / huge_page_bytes + 1) * huge_page_bytes);
      if (!bring_content(at, next)) write(at, ByteSpan(zero_));
      at = next;
    }
  }
  uint64_t bytes() const { return bytes_; }

 private:
  /// False if the snapshot has nothing there.
  bool bring_content(uint64_t start, uint64_t end) {
    const std::vector<Piece>& pieces = source_.pieces();
    auto piece = std::partition_point(pieces.begin(), pieces.end(),
                                      [start](const Piece& p) { return p.end() <= start; });
    bool any = false;
    thread_local Bytes scratch(written_at_once);
    for (; piece != pieces.end() && piece->start < end; ++piece) {
      const uint64_t high = std::min(end, piece->end());
      for (uint64_t at = std::max(start, piece->start); at < high;) {
        const uint64_t size = std::min(high - at, written_at_once);
        write(at, source_.view(at, size, scratch));
        bytes_ += size;
        at += size;
      }
      any = true;
    }
    return any;
  }

  void write(uint64_t to, ByteSpan from) const {
    const iovec here{const_cast<std::byte*>(from.data()), from.size()};
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address in the other process
    const iovec there{reinterpret_cast<void*>(to), from.size()};
    const ssize_t n = ::process_vm_writev(pid_, &here, 1, &there, 1, 0);
    if (n == static_cast<ssize_t>(from.size())) return;
    const std::string what = fmt::format("cannot write to the memory of process {} at {:#x}", pid_, to);
    throw n < 0 ? Error::sys(what) : Error(what);
  }

  const pid_t pid_;
  const PageSource& source_;
  const Bytes zero_ = Bytes(1);
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace

CopiedPages::CopiedPages(SharedPages& pages, const SharedMapping& mapping, const PageSource& source)
    : pages_(pages),
      mapping_(mapping),
      source_(source),
      window_(pages.file(), mapping.offset, mapping.end - mapping.start) {
  for (const Piece& piece : source.pieces())
    if (mapping.start <= piece.start && piece.start < mapping.end) pieces_.push_back(piece);
  mappings_ = {{mapping.start, mapping.end - mapping.start, mapping.start}};
}

ByteSpan CopiedPages::view(uint64_t image, uint64_t size, MutableByteSpan scratch) const {
  if (!pages_.has(mapping_, image, size)) return source_.view(image, size, scratch);
  return {window_.at() + (image - mapping_.start), size};
}

uint64_t bring_pinned(pid_t pid, const Piece& mapping, const PageSource& source) {
  Bringer bringer(pid, source);
  const unsigned threads = default_jobs();
  Workers workers(threads, size_t{2} * threads);
  for (uint64_t at = mapping.start; at < mapping.end();) {
    const uint64_t next = std::min(mapping.end(), (at / taken_at_once + 1) * taken_at_once);
    workers.submit([&bringer, at, next] { bringer.bring(at, next); });
    at = next;
  }
  workers.wait();
  return bringer.bytes();
}

}  // namespace coldstart
