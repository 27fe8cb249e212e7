// SPDX-License-Identifier: Apache-2.0
#pragma once
// A libfuse session on a descriptor of ours, with a door between libfuse and the kernel.
//
// Every request and every answer passes that door (libfuse's "custom io"). Hooks stand in it: they see what
// the kernel asks and may change what libfuse answers, which is how features are used that the installed
// libfuse does not know. What a hook is for is its own affair; see passthrough.h for one.

#define FUSE_USE_VERSION 312
#include <cstdlib>
#include <span>
#include <vector>

#include <fuse3/fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sys/uio.h>

#include "core/base/bytes.h"

namespace coldstart {

/// Called by the thread that takes the request or answers it; so thread-safe, and must not throw.
class SessionHook {
 public:
  virtual ~SessionHook() = default;
  /// A whole request, fuse_in_header first, before libfuse sees it.
  virtual void on_request(ByteSpan request) noexcept { static_cast<void>(request); }
  /// A whole answer, fuse_out_header first, before the kernel sees it. The bytes may be changed.
  virtual void on_reply(std::span<const iovec> pieces) noexcept { static_cast<void>(pieces); }
};

/// The memory that requests are received into; one a thread.
struct RequestBuffer {
  fuse_buf buffer{};
  RequestBuffer() = default;
  RequestBuffer(const RequestBuffer&) = delete;
  RequestBuffer& operator=(const RequestBuffer&) = delete;
  ~RequestBuffer() { std::free(buffer.mem); }
};

/// Thread-safe once made, if what `operations` points to is.
class FuseSession {
 public:
  /// Works on a duplicate of `fuse_fd`. The operations find `user_data` with user_data(). `hooks` are called
  /// in their order and must outlive the session. Throws Error.
  FuseSession(int fuse_fd, const fuse_lowlevel_ops& operations, void* user_data,
              std::vector<SessionHook*> hooks);
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;
  ~FuseSession();

  void stop() { fuse_session_exit(session_); }
  bool stopped() const { return fuse_session_exited(session_) != 0; }

  /// Takes and answers one request. False if there will be no more.
  bool serve_one(RequestBuffer& request);

  /// Hands libfuse a request that did not come from the kernel (now): so a new server process learns what
  /// was agreed with the kernel when the mount was made. What libfuse answers passes the hooks and is
  /// dropped.
  void feed(ByteSpan request);

  /// What was given to the constructor; from a request, or from what libfuse hands to init and destroy.
  static void* user_data(fuse_req_t request) { return user_data(fuse_req_userdata(request)); }
  static void* user_data(void* from_libfuse) { return static_cast<FuseSession*>(from_libfuse)->user_data_; }

  fuse_session* get() const { return session_; }

 private:
  static ssize_t receive(int fd, void* buffer, size_t size, void* self);
  static ssize_t send(int fd, iovec* pieces, int count, void* self);

  void* user_data_;
  std::vector<SessionHook*> hooks_;
  fuse_session* session_ = nullptr;
};

}  // namespace coldstart
