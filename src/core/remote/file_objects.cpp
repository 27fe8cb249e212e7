// SPDX-License-Identifier: Apache-2.0
// A folder: on this host, on a network file system, or what a web server will serve.

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/files.h"
#include "core/remote/backends.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t copy_step = size_t{1} << 20;

class FileObjects final : public ObjectStore {
 public:
  explicit FileObjects(fs::path folder) : folder_(std::move(folder)) {}

  std::string name() const override { return "file:" + folder_.string(); }
  using ObjectStore::get;
  Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness) override;
  std::optional<uint64_t> size(const std::string& key) override;
  void put(const std::string& key, const ObjectSource& source) override;
  std::vector<std::string> list(const std::string& prefix) override;
  void remove(const std::string& key) override;

 private:
  fs::path path(const std::string& key) const { return folder_ / key; }
  [[noreturn]] void failed(int error, const std::string& doing, const fs::path& path) const;

  const fs::path folder_;
};

void FileObjects::failed(int error, const std::string& doing, const fs::path& path) const {
  using Kind = RemoteError::Kind;
  const Error sys = Error::sys(error, doing + " " + path.string());
  if (error == ENOENT || error == ENOTDIR) throw RemoteError(Kind::absent, sys.message());
  if (error == EACCES || error == EPERM || error == EROFS) throw RemoteError(Kind::denied, sys.message());
  throw RemoteError(Kind::refused, sys.message());
}

Bytes FileObjects::get(const std::string& key, std::optional<ByteRange> range, Freshness) {
  const Fd fd(::open(path(key).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0) failed(errno, "cannot read", path(key));
  const ByteRange wanted = range.value_or(ByteRange{0, static_cast<uint64_t>(st.st_size)});
  if (wanted.length > max_object_bytes)
    throw RemoteError(RemoteError::Kind::refused, path(key).string() + " is too large");
  Bytes bytes(wanted.length);
  if (pread_full(fd.get(), bytes, static_cast<off_t>(wanted.offset)) != bytes.size())
    throw RemoteError(RemoteError::Kind::refused, path(key).string() + " is too short");
  return bytes;
}

std::optional<uint64_t> FileObjects::size(const std::string& key) {
  struct stat st {};
  if (::stat(path(key).c_str(), &st) == 0) return static_cast<uint64_t>(st.st_size);
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  failed(errno, "cannot look at", path(key));
}

/// Written aside and renamed; the file is readable by whoever may enter the folder, as a web server must.
void FileObjects::put(const std::string& key, const ObjectSource& source) {
  const fs::path to = path(key);
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  if (error) failed(error.value(), "cannot make", to.parent_path());
  std::string aside = (to.parent_path() / ".XXXXXX").string();
  const Fd out(::mkostemp(aside.data(), O_CLOEXEC));
  if (!out) failed(errno, "cannot write in", to.parent_path());
  try {
    if (source.fd >= 0) {
      Bytes buffer(copy_step);
      for (uint64_t at = 0; at < source.size;) {
        const size_t now = pread_full(
            source.fd, MutableByteSpan(buffer).first(std::min<uint64_t>(copy_step, source.size - at)),
            static_cast<off_t>(at));
        if (now == 0) throw Error("what is to be put there was cut short");
        write_full(out.get(), ByteSpan(buffer).first(now));
        at += now;
        if (source.sent) source.sent(now);
      }
    } else {
      write_full(out.get(), source.bytes);
      if (source.sent) source.sent(source.bytes.size());
    }
    check(::fchmod(out.get(), 0644), "cannot set the mode of " + aside);
    check(::fsync(out.get()), "cannot fsync " + aside);
    check(::rename(aside.c_str(), to.c_str()), "cannot publish " + to.string());
  } catch (const Error& e) {
    ::unlink(aside.c_str());
    if (e.error_number() != 0) failed(e.error_number(), "cannot write", to);
    throw;
  }
  sync_folder(to.parent_path());
}

std::vector<std::string> FileObjects::list(const std::string& prefix) {
  std::vector<std::string> keys;
  const fs::path below = folder_ / prefix;
  std::error_code error;
  for (fs::recursive_directory_iterator at(below, error), end; !error && at != end; at.increment(error)) {
    const std::string file = at->path().filename();
    std::error_code ignored;
    if (!file.starts_with('.') && at->is_regular_file(ignored))
      keys.push_back(prefix + at->path().lexically_relative(below).string());
  }
  if (error && error.value() != ENOENT) failed(error.value(), "cannot list", below);
  std::sort(keys.begin(), keys.end());
  return keys;
}

void FileObjects::remove(const std::string& key) {
  if (::unlink(path(key).c_str()) != 0 && errno != ENOENT) failed(errno, "cannot remove", path(key));
}

}  // namespace

std::shared_ptr<ObjectStore> open_file_objects(const fs::path& folder) {
  return std::make_shared<FileObjects>(folder);
}

}  // namespace coldstart
