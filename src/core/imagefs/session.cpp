// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/session.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

/// This thread is in FuseSession::feed(). libfuse and our operations answer on the thread that they were
/// asked on.
thread_local bool feeding = false;

constexpr size_t touched_bytes = 4096;  // a page

}  // namespace

ssize_t FuseSession::receive(int fd, void* buffer, size_t size, void* self) {
  // A page that must still be made when a kill -9 comes is refused, and the kernel lets the request fail
  // instead of keeping it for the next server. Requests are small: two pages hold them.
  for (size_t at = 0; at < std::min(size, 2 * touched_bytes); at += touched_bytes)
    static_cast<volatile char*>(buffer)[at] = 0;
  const ssize_t n = ::read(fd, buffer, size);
  if (n <= 0) return n;
  for (SessionHook* hook : static_cast<FuseSession*>(self)->hooks_)
    hook->on_request({static_cast<const std::byte*>(buffer), static_cast<size_t>(n)});
  return n;
}

ssize_t FuseSession::send(int fd, iovec* pieces, int count, void* self) {
  const std::span<const iovec> all(pieces, static_cast<size_t>(count));
  for (SessionHook* hook : static_cast<FuseSession*>(self)->hooks_) hook->on_reply(all);
  if (!feeding) return ::writev(fd, pieces, count);
  size_t bytes = 0;
  for (const iovec& piece : all) bytes += piece.iov_len;
  return static_cast<ssize_t>(bytes);
}

FuseSession::FuseSession(int fuse_fd, const fuse_lowlevel_ops& operations, void* user_data,
                         std::vector<SessionHook*> hooks)
    : user_data_(user_data), hooks_(std::move(hooks)) {
  char name[] = "coldstart";
  char* words[] = {name, nullptr};
  fuse_args arguments{1, words, 0};
  Fd fd(check(::fcntl(fuse_fd, F_DUPFD_CLOEXEC, 3), "cannot duplicate the FUSE descriptor"));
  // libfuse has one pointer for the operations and for the custom io.
  session_ = fuse_session_new(&arguments, &operations, sizeof(fuse_lowlevel_ops), this);
  fuse_opt_free_args(&arguments);  // libfuse has made them its own
  if (session_ == nullptr) throw Error("libfuse refused to make a session");
  fuse_custom_io io{};
  io.writev = send;
  io.read = receive;
  if (const int error = fuse_session_custom_io(session_, &io, fd.get()); error != 0) {
    fuse_session_destroy(session_);
    throw Error::sys(-error, "libfuse refused the FUSE descriptor");
  }
  fd.release();  // libfuse closes it
}

FuseSession::~FuseSession() {
  fuse_session_destroy(session_);
}

bool FuseSession::serve_one(RequestBuffer& request) {
  const int size = fuse_session_receive_buf(session_, &request.buffer);
  if (size == -EINTR || size == -EAGAIN) return !stopped();
  if (size <= 0) {
    if (size < 0 && size != -ENODEV)
      log::warn("cannot take requests: {}", Error::sys(-size, "/dev/fuse").what());
    return false;
  }
  fuse_session_process_buf(session_, &request.buffer);
  return !stopped();
}

void FuseSession::feed(ByteSpan request) {
  for (SessionHook* hook : hooks_) hook->on_request(request);
  fuse_buf buffer{};
  buffer.mem = const_cast<std::byte*>(request.data());
  buffer.size = request.size();
  feeding = true;
  fuse_session_process_buf(session_, &buffer);
  feeding = false;
}

}  // namespace coldstart
