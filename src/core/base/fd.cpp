// SPDX-License-Identifier: Apache-2.0
#include "core/base/fd.h"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Fd::reset() {
  // close() of a descriptor we own can only report a late write error; whoever cares has called fsync.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Fd Fd::dup() const {
  return Fd(check(::fcntl(fd_, F_DUPFD_CLOEXEC, 3), "cannot duplicate a descriptor"));
}

Fd open_file(const std::string& path, int flags, mode_t mode) {
  return open_at(AT_FDCWD, path, flags, mode);
}

Fd open_at(int dir, const std::string& name, int flags, mode_t mode) {
  Fd fd(::openat(dir, name.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) throw Error::sys("cannot open " + name);
  return fd;
}

namespace {

/// Calls op(done) until all is moved, it gives 0, or it fails; `op` is one read or write from offset `done`.
template <class Op>
size_t transfer(size_t total, const char* doing, Op op) {
  size_t done = 0;
  while (done < total) {
    const ssize_t n = op(done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error::sys(doing);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

void expect_all(size_t done, size_t total) {
  if (done != total)
    throw Error("short write: " + std::to_string(done) + " of " + std::to_string(total) + " bytes");
}

}  // namespace

size_t read_full(int fd, MutableByteSpan into) {
  return transfer(into.size(), "cannot read",
                  [&](size_t done) { return ::read(fd, into.data() + done, into.size() - done); });
}

size_t pread_full(int fd, MutableByteSpan into, off_t at) {
  return transfer(into.size(), "cannot read", [&](size_t done) {
    return ::pread(fd, into.data() + done, into.size() - done, at + static_cast<off_t>(done));
  });
}

void write_full(int fd, ByteSpan bytes) {
  expect_all(transfer(bytes.size(), "cannot write",
                      [&](size_t done) { return ::write(fd, bytes.data() + done, bytes.size() - done); }),
             bytes.size());
}

void pwrite_full(int fd, ByteSpan bytes, off_t at) {
  expect_all(transfer(bytes.size(), "cannot write",
                      [&](size_t done) {
                        return ::pwrite(fd, bytes.data() + done, bytes.size() - done,
                                        at + static_cast<off_t>(done));
                      }),
             bytes.size());
}

Pipe make_pipe() {
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC), "cannot make a pipe");
  return {Fd(ends[0]), Fd(ends[1])};
}

}  // namespace coldstart
