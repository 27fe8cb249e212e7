// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/greeting.h"

#include <array>
#include <cerrno>

#include <sys/mman.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

// Of linux/fuse.h since 6.9; Debian 12 has that of 6.1.
constexpr int32_t notify_resend = 7;                // FUSE_NOTIFY_RESEND
constexpr uint64_t has_resend = uint64_t{1} << 39;  // FUSE_HAS_RESEND

constexpr size_t most_bytes = 4096;  // of a request or a reply; they have some 100

/// At the beginning of the state; written last.
struct StateHeader {
  std::array<char, 8> magic;
  uint32_t request_bytes;
  uint32_t reply_bytes;
};
constexpr std::array<char, 8> state_magic = {'c', 's', 'g', 'r', 'e', 'e', 't', '1'};

uint64_t both(uint32_t low, uint32_t high) {
  return low | uint64_t{high} << 32;
}

void write_greeting(int state, const Greeting& greeting) {
  const StateHeader header{state_magic, static_cast<uint32_t>(greeting.request.size()),
                           static_cast<uint32_t>(greeting.reply.size())};
  pwrite_full(state, greeting.request, sizeof header);
  pwrite_full(state, greeting.reply, static_cast<off_t>(sizeof header + greeting.request.size()));
  pwrite_full(state, bytes_of(header), 0);
}

}  // namespace

bool Greeting::can_resend() const {
  if (request.size() < sizeof(fuse_in_header) + sizeof(fuse_init_in)) return false;
  const auto init = load<fuse_init_in>(request.data() + sizeof(fuse_in_header));
  return (init.flags & FUSE_INIT_EXT) != 0 && (both(init.flags, init.flags2) & has_resend) != 0;
}

uint64_t Greeting::agreed_flags() const {
  if (reply.size() < sizeof(fuse_out_header) + sizeof(fuse_init_out)) return 0;
  const auto init = load<fuse_init_out>(reply.data() + sizeof(fuse_out_header));
  return both(init.flags, (init.flags & FUSE_INIT_EXT) != 0 ? init.flags2 : 0);
}

Fd make_server_state() {
  return Fd(check(::memfd_create("coldstart-server-state", MFD_CLOEXEC), "cannot make a memory file"));
}

std::optional<Greeting> read_greeting(int state) {
  StateHeader header{};
  if (pread_full(state, std::as_writable_bytes(std::span(&header, 1)), 0) < sizeof header ||
      header.magic == std::array<char, 8>{})
    return std::nullopt;
  const auto corrupt = [] { return Error::corrupt("the state of the image server is damaged"); };
  if (header.magic != state_magic || header.request_bytes > most_bytes || header.reply_bytes > most_bytes)
    throw corrupt();
  Greeting greeting{Bytes(header.request_bytes), Bytes(header.reply_bytes)};
  const auto after_request = static_cast<off_t>(sizeof header + header.request_bytes);
  if (pread_full(state, greeting.request, sizeof header) < greeting.request.size() ||
      pread_full(state, greeting.reply, after_request) < greeting.reply.size())
    throw corrupt();
  return greeting;
}

void GreetingHook::on_request(ByteSpan request) noexcept {
  if (request.size() < sizeof(fuse_in_header) || request.size() > most_bytes) return;
  const auto header = load<fuse_in_header>(request.data());
  if (header.opcode != FUSE_INIT) return;
  try {
    seen_ = {{request.begin(), request.end()}, {}};
    unique_ = header.unique;
  } catch (const std::bad_alloc&) {
    log::warn("no memory to keep the kernel's greeting");
  }
}

void GreetingHook::on_reply(std::span<const iovec> pieces) noexcept {
  const uint64_t wanted = unique_.load(std::memory_order_relaxed);
  if (wanted == 0 || pieces.empty() || pieces[0].iov_len < sizeof(fuse_out_header)) return;
  if (load<fuse_out_header>(static_cast<const std::byte*>(pieces[0].iov_base)).unique != wanted) return;
  unique_ = 0;
  try {
    for (const iovec& piece : pieces)
      append(seen_.reply, {static_cast<const std::byte*>(piece.iov_base), piece.iov_len});
    if (state_ >= 0 && seen_.reply.size() <= most_bytes && !read_greeting(state_))
      write_greeting(state_, seen_);
  } catch (const std::exception& e) {
    log::warn("cannot keep the kernel's greeting: {}", e.what());
  }
}

void resend_requests(int fuse_fd) {
  fuse_out_header notify{};
  notify.len = sizeof notify;
  notify.error = notify_resend;
  ssize_t n = 0;
  do n = ::write(fuse_fd, &notify, sizeof notify);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno != ENODEV)  // ENODEV: the mount has just gone
    throw Error::sys("the kernel does not hand out its requests again");
}

}  // namespace coldstart
