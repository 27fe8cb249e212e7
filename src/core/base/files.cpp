// SPDX-License-Identifier: Apache-2.0
#include "core/base/files.h"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace fs = std::filesystem;

Bytes read_file(const fs::path& path, size_t limit) {
  const Fd fd = open_file(path, O_RDONLY);
  Bytes bytes;
  // Not by st_size: files of /proc say 0.
  for (size_t used = 0;;) {
    bytes.resize(used + (used < 65536 ? 65536 : used));
    const size_t n = read_full(fd.get(), MutableByteSpan(bytes).subspan(used));
    used += n;
    if (used > limit)
      throw Error(path.string() + " is larger than the " + std::to_string(limit) + " bytes allowed");
    if (used < bytes.size()) {
      bytes.resize(used);
      return bytes;
    }
  }
}

std::string read_text(const fs::path& path, size_t limit) {
  return std::string(as_text(read_file(path, limit)));
}

void write_file_atomic(const fs::path& path, ByteSpan bytes, mode_t mode) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::string aside = (folder / ("." + path.filename().string() + ".XXXXXX")).string();
  Fd fd(::mkostemp(aside.data(), O_CLOEXEC));
  if (!fd) throw Error::sys("cannot write in " + folder.string());
  try {
    check(::fchmod(fd.get(), mode), "cannot set the mode of " + aside);
    write_full(fd.get(), bytes);
    check(::fsync(fd.get()), "cannot fsync " + aside);
    check(::rename(aside.c_str(), path.c_str()), "cannot rename to " + path.string());
  } catch (const Error& e) {
    ::unlink(aside.c_str());
    throw e.in("cannot write " + path.string());
  }
  sync_folder(folder);
}

void sync_folder(const fs::path& folder) {
  const Fd fd = open_file(folder, O_RDONLY | O_DIRECTORY);
  check(::fsync(fd.get()), "cannot fsync " + folder.string());
}

void make_folders(const fs::path& folder, mode_t mode) {
  if (folder.empty()) return;
  if (::mkdir(folder.c_str(), mode) == 0) return;
  if (errno == ENOENT && folder.has_parent_path() && folder.parent_path() != folder) {
    make_folders(folder.parent_path(), mode);
    if (::mkdir(folder.c_str(), mode) == 0) return;
  }
  std::error_code ignored;
  if (errno == EEXIST && fs::is_directory(folder, ignored)) return;
  throw Error::sys("cannot create the folder " + folder.string());
}

TempDir::TempDir(const fs::path& parent, const std::string& prefix) {
  const char* tmp = std::getenv("TMPDIR");
  const fs::path base = !parent.empty() ? parent : fs::path(tmp != nullptr && *tmp != 0 ? tmp : "/tmp");
  std::string name = (base / (prefix + "XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr)
    throw Error::sys("cannot create a temporary folder in " + base.string());
  path_ = name;
}

TempDir& TempDir::operator=(TempDir&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, {});
  }
  return *this;
}

TempDir::~TempDir() {
  remove();
}

void TempDir::remove() noexcept {
  if (path_.empty()) return;
  std::error_code error;
  fs::remove_all(path_, error);
  if (error) log::warn("cannot remove {}: {}", path_.string(), error.message());
}

namespace {

Fd open_lock(const fs::path& path) {
  return open_file(path, O_RDWR | O_CREAT);
}
int operation(FileLock::Mode mode) {
  return mode == FileLock::Mode::shared ? LOCK_SH : LOCK_EX;
}

}  // namespace

FileLock::FileLock(const fs::path& path, Mode mode) : fd_(open_lock(path)) {
  while (::flock(fd_.get(), operation(mode)) != 0)
    if (errno != EINTR) throw Error::sys("cannot lock " + path.string());
}

std::optional<FileLock> FileLock::try_lock(const fs::path& path, Mode mode) {
  Fd fd = open_lock(path);
  while (::flock(fd.get(), operation(mode) | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    if (errno != EINTR) throw Error::sys("cannot lock " + path.string());
  }
  return FileLock(std::move(fd));
}

FileMapping::FileMapping(const fs::path& path) {
  map(open_file(path, O_RDONLY).get(), path.string());
}
FileMapping::FileMapping(int fd, const std::string& shown) {
  map(fd, shown);
}

void FileMapping::map(int fd, const std::string& shown) {
  struct stat st {};
  check(::fstat(fd, &st), "cannot stat " + shown);
  if (st.st_size == 0) return;
  const auto size = static_cast<size_t>(st.st_size);
  void* at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) throw Error::sys("cannot map " + shown);
  bytes_ = {static_cast<const std::byte*>(at), size};
}

FileMapping& FileMapping::operator=(FileMapping&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

FileMapping::~FileMapping() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace coldstart
