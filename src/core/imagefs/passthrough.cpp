// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/passthrough.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include <sys/ioctl.h>

namespace coldstart {

namespace {

// What <linux/fuse.h> has from protocol 7.40 on; older headers, and libfuse before 3.17, lack it.
constexpr uint32_t passthrough_minor = 40;
constexpr uint32_t passthrough_flag2 = uint32_t{1} << (37 - 32);  // FUSE_PASSTHROUGH, in flags2
constexpr uint32_t fopen_passthrough = 1 << 7;

struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
constexpr unsigned long backing_open_request = _IOW(229, 1, BackingMap);
constexpr unsigned long backing_close_request = _IOW(229, 2, uint32_t);

/// The beginning of the answer to INIT up to max_stack_depth, the word behind flags2.
struct InitAnswer {
  uint32_t major, minor, max_readahead, flags;
  uint16_t max_background, congestion_threshold;
  uint32_t max_write, time_gran;
  uint16_t max_pages, map_alignment;
  uint32_t flags2, max_stack_depth;
};
static_assert(sizeof(InitAnswer) == 40);

struct OpenAnswer {
  uint64_t handle;
  uint32_t open_flags;
  int32_t backing_id;  // padding before 7.40
};
static_assert(sizeof(OpenAnswer) == 16);

/// Of the open that this thread answers; 0: it is not passed through. libfuse sends at once.
thread_local int answering_with = 0;

}  // namespace

void Passthrough::ask_for([[maybe_unused]] fuse_conn_info& connection) const {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  if (greeting_.load() == 0 || !fuse_set_feature_flag(&connection, FUSE_CAP_PASSTHROUGH)) return;
  connection.max_backing_stack_depth = 1;
#endif
}

void Passthrough::on_request(ByteSpan request) noexcept {
  constexpr size_t needed =
      sizeof(fuse_in_header) + offsetof(fuse_init_in, flags2) + sizeof(fuse_init_in::flags2);
  if (!wanted_ || agreed() || request.size() < needed) return;
  const auto header = load<fuse_in_header>(request.data());
  if (header.opcode != FUSE_INIT) return;
  fuse_init_in offer{};
  std::memcpy(&offer, request.data() + sizeof header, needed - sizeof header);
  if (offer.minor >= passthrough_minor && (offer.flags & FUSE_INIT_EXT) != 0 &&
      (offer.flags2 & passthrough_flag2) != 0)
    greeting_ = header.unique;
}

void Passthrough::on_reply(std::span<const iovec> pieces) noexcept {
  if (pieces.size() < 2) return;
  if (answering_with != 0 && pieces[1].iov_len == sizeof(OpenAnswer)) {
    auto& answer = *static_cast<OpenAnswer*>(pieces[1].iov_base);
    answer.open_flags |= fopen_passthrough;
    answer.backing_id = answering_with;
    return;
  }
  const uint64_t greeting = greeting_.load(std::memory_order_relaxed);
  if (greeting == 0 || agreed() || pieces[1].iov_len < sizeof(InitAnswer)) return;
  const auto& header = *static_cast<const fuse_out_header*>(pieces[0].iov_base);
  if (header.unique != greeting || header.error != 0) return;
  auto& answer = *static_cast<InitAnswer*>(pieces[1].iov_base);
  answer.minor = std::max(answer.minor, passthrough_minor);
  answer.flags |= FUSE_INIT_EXT;
  answer.flags2 |= passthrough_flag2;
  answer.max_stack_depth = 1;
  agreed_.store(true, std::memory_order_release);
}

int Passthrough::register_backing(int file) const {
  BackingMap map{file, 0, 0};
  const int id = ::ioctl(fuse_fd_, backing_open_request, &map);
  return id < 0 ? -errno : id;
}

void Passthrough::unregister_backing(int id) const {
  auto number = static_cast<uint32_t>(id);
  ::ioctl(fuse_fd_, backing_close_request, &number);
}

int Passthrough::reply_open(fuse_req_t request, fuse_file_info info, int id) {
  info.keep_cache = 0;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  info.backing_id = id;
#endif
  answering_with = id;
  const int result = fuse_reply_open(request, &info);
  answering_with = 0;
  return result;
}

}  // namespace coldstart
