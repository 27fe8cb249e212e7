// SPDX-License-Identifier: Apache-2.0
#include "core/remote/sparse_pack.h"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"

namespace coldstart {

int SparsePack::open(bool create) {
  const std::lock_guard lock(mutex_);
  if (fd_) return fd_.get();
  if (create) make_folders(path_.parent_path());
  Fd fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600));
  if (!fd) {
    if (errno == ENOENT && !create) return -1;
    throw Error::sys("cannot open " + path_.string());
  }
  if (create) check(::ftruncate(fd.get(), static_cast<off_t>(bytes_)), "cannot size " + path_.string());
  fd_ = std::move(fd);
  return fd_.get();
}

bool SparsePack::may_have(uint64_t offset, uint32_t length) {
  const int fd = open(false);
  if (fd < 0) return false;
  const off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0) return errno != ENXIO;  // a file system that does not know holes
  return static_cast<uint64_t>(data) < offset + length;
}

std::optional<Bytes> SparsePack::read(uint64_t offset, uint32_t length) {
  try {
    if (!may_have(offset, length)) return std::nullopt;
    Bytes stored(length);
    if (pread_full(open(false), stored, static_cast<off_t>(offset)) != length) return std::nullopt;
    return stored;
  } catch (const Error& e) {
    log::debug("{}", e.message());
    return std::nullopt;
  }
}

void SparsePack::keep(uint64_t offset, ByteSpan stored) {
  try {
    pwrite_full(open(true), stored, static_cast<off_t>(offset));
  } catch (const Error& e) {
    log::warn("cannot keep what was fetched: {}", e.in(path_.string()).message());
  }
}

}  // namespace coldstart
