// SPDX-License-Identifier: Apache-2.0
#pragma once
// An owned file descriptor, and whole reads and writes through it.

#include <string>
#include <utility>

#include <sys/types.h>

#include "core/base/bytes.h"

namespace coldstart {

/// Owns one file descriptor and closes it. Move-only. -1 means none.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();
  /// A second descriptor (close-on-exec) of the same open file.
  Fd dup() const;

 private:
  int fd_ = -1;
};

/// open(2) with O_CLOEXEC; throws Error naming the path.
Fd open_file(const std::string& path, int flags, mode_t mode = 0600);
/// openat(2) with O_CLOEXEC; `shown` is the name for error messages.
Fd open_at(int dir, const std::string& name, int flags, mode_t mode = 0600);

/// Reads until `into` is full or the file ends; gives the bytes read. Retries EINTR.
size_t read_full(int fd, MutableByteSpan into);
size_t pread_full(int fd, MutableByteSpan into, off_t at);
/// Writes all of it or throws (ENOSPC and friends named). Retries EINTR and short writes.
void write_full(int fd, ByteSpan bytes);
void pwrite_full(int fd, ByteSpan bytes, off_t at);

/// A pipe, both ends close-on-exec.
struct Pipe {
  Fd read;
  Fd write;
};
Pipe make_pipe();

}  // namespace coldstart
