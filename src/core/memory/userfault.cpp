// SPDX-License-Identifier: Apache-2.0
#include "core/memory/userfault.h"

#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/memory/pending_pages.h"

namespace coldstart {

namespace {

Fill reason(int error, uint64_t at) {
  switch (error) {
    case EEXIST:
      return Fill::present;
    case EAGAIN:
      return Fill::changing;
    case ENOENT:
    case EINVAL:
      return Fill::unmapped;  // ZEROPAGE says EINVAL across the border of mappings
    case ESRCH:
    case ENOSPC:
      return Fill::gone;  // ENOSPC: while it exits
    case EFAULT:
      throw Error("the snapshot's bytes cannot be read", "the pages file was damaged or truncated",
                  Exit::corrupt);
    default:
      throw Error::sys(error, fmt::format("cannot fill memory at {:#x}", at));
  }
}

/// Why zeroing what no mapping can hold is refused: the process's state comes before that.
int refusal(int fd) {
  uffdio_zeropage nothing{};
  nothing.range = {0, page_size};
  return ::ioctl(fd, UFFDIO_ZEROPAGE, &nothing) == 0 ? 0 : errno;
}

/// The kernel looks for the mapping before it looks whether mappings are being changed (since Linux 6.8,
/// where only the one mapping is locked): one that has just been moved is "not there", although nobody was
/// told yet. For as long as that is unread, though, it does say that they are changing.
Fill reason_now(int fd, int error, uint64_t at) {
  const Fill why = reason(error, at);
  return why == Fill::unmapped && refusal(fd) == EAGAIN ? Fill::changing : why;
}

/// Runs `step(done)`, one ioctl from offset `done` that says how far it came, until all is done or it fails.
template <class Step>
FillResult fill(int fd, uint64_t start, uint64_t size, Step step) {
  uint64_t done = 0;
  while (done < size) {
    int64_t moved = 0;
    if (step(done, moved) == 0) return {Fill::done, size};
    const int error = errno;
    if (error == EINTR) continue;
    if (moved <= 0) return {reason_now(fd, error, start + done), done};
    done += static_cast<uint64_t>(moved);  // a part; what stopped it is told by the next call
  }
  return {Fill::done, size};
}

}  // namespace

void Userfault::read(std::vector<uffd_msg>& messages) const {
  std::array<uffd_msg, 32> buffer;
  for (;;) {
    const ssize_t n = ::read(fd_.get(), buffer.data(), sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) throw Error::sys("cannot read page faults");
    const size_t count = static_cast<size_t>(n) / sizeof(uffd_msg);
    messages.insert(messages.end(), buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(count));
    if (count < buffer.size()) return;
  }
}

FillResult Userfault::copy(uint64_t to, ByteSpan from) {
  return fill(fd_.get(), to, from.size(), [&](uint64_t done, int64_t& moved) {
    uffdio_copy call{};
    call.dst = to + done;
    call.src = reinterpret_cast<uint64_t>(from.data()) + done;
    call.len = from.size() - done;
    const int result = ::ioctl(fd_.get(), UFFDIO_COPY, &call);
    moved = call.copy;
    return result;
  });
}

FillResult Userfault::zero(uint64_t start, uint64_t size) {
  return fill(fd_.get(), start, size, [&](uint64_t done, int64_t& moved) {
    uffdio_zeropage call{};
    call.range = {start + done, size - done};
    const int result = ::ioctl(fd_.get(), UFFDIO_ZEROPAGE, &call);
    moved = call.zeropage;
    return result;
  });
}

FillResult Userfault::map(uint64_t start, uint64_t size) {
  return fill(fd_.get(), start, size, [&](uint64_t done, int64_t& moved) {
    uffdio_continue call{};
    call.range = {start + done, size - done};
    const int result = ::ioctl(fd_.get(), UFFDIO_CONTINUE, &call);
    moved = call.mapped;
    return result;
  });
}

void Userfault::share(uint64_t start, uint64_t size) {
  uffdio_register call{};
  call.range = {start, size};
  call.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR;
  check(::ioctl(fd_.get(), UFFDIO_REGISTER, &call),
        fmt::format("cannot watch over the memory at {:#x}", start));
}

void Userfault::leave(uint64_t start, uint64_t size) {
  uffdio_range range{start, size};
  check(::ioctl(fd_.get(), UFFDIO_UNREGISTER, &range),
        fmt::format("cannot let go of the memory at {:#x}", start));
}

bool Userfault::memory_lives() const {
  return refusal(fd_.get()) != ESRCH;
}

bool Userfault::changing() const {
  return refusal(fd_.get()) == EAGAIN;
}

bool Userfault::serves(uint64_t address) const {
  // A mapping is looked for before the bytes, and these cannot be had.
  static void* const unreadable = ::mmap(nullptr, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (unreadable == MAP_FAILED) return true;
  uffdio_copy call{};
  call.dst = address;
  call.src = reinterpret_cast<uint64_t>(unreadable);
  call.len = page_size;
  return ::ioctl(fd_.get(), UFFDIO_COPY, &call) == 0 || errno != ENOENT || changing();
}

void Userfault::wake(uint64_t start, uint64_t size) {
  uffdio_range range{start, size};
  // It fails only where there is nobody left to wake.
  ::ioctl(fd_.get(), UFFDIO_WAKE, &range);
}

}  // namespace coldstart
