// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/file_cache.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

// Seals: times before this project was thought of. Seconds, as not every file system keeps more.
constexpr timespec seal_for_good{1, 0};
timespec seal_of_this_boot() {
  return {static_cast<time_t>(2 + boot_number() % (uint64_t{1} << 30)), 0};
}

constexpr time_t use_granularity = 60;  // seconds: a use is not noted more often

bool same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

uint64_t disk_bytes(const struct stat& status) {
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

/// True if nobody else has a lock on it: then it is locked by `fd`.
bool lock_alone(int fd) {
  return ::flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void set_times(int file, const timespec& used, const timespec& modified, const fs::path& path) {
  const timespec times[2] = {used, modified};
  check(::futimens(file, times), "cannot seal " + path.string());
}

}  // namespace

FileCache::FileCache(const fs::path& store_root, uint64_t limit_bytes)
    : root_(store_root / "cache"), limit_(limit_bytes), boot_seal_(seal_of_this_boot()) {
  if (limit_ != 0) return;
  struct statvfs space {};
  check(::statvfs(store_root.c_str(), &space), "cannot ask for the space of " + store_root.string());
  limit_ = uint64_t{space.f_blocks} * space.f_frsize / 4;
}

fs::path FileCache::complete(const Digest& content) const {
  const std::string hex = content.hex();
  return root_ / "files" / hex.substr(0, 2) / hex;
}

fs::path FileCache::unfinished(const Digest& content) const {
  return root_ / "partial" / content.hex();
}

uint64_t FileCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

Fd FileCache::find(const Digest& content, uint64_t size) {
  const fs::path path = complete(content);
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file || ::flock(file.get(), LOCK_SH | LOCK_NB) != 0) return {};
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || status.st_nlink == 0) return {};
  const timespec& seal = status.st_mtim;
  if (S_ISREG(status.st_mode) && static_cast<uint64_t>(status.st_size) == size &&
      (same(seal, seal_for_good) || same(seal, boot_seal_))) {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec - status.st_atim.tv_sec > use_granularity) {
      const timespec times[2] = {now, {0, UTIME_OMIT}};
      if (::futimens(file.get(), times) != 0) log::debug("cannot note the use of {}", path.string());
    }
    return file;
  }
  if (seal.tv_sec > last_seal_second || static_cast<uint64_t>(status.st_size) != size)
    log::warn("{} was changed by someone: it is fetched anew", path.string());
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    log::warn("{}", Error::sys("cannot remove " + path.string()).what());
  return {};
}

void FileCache::make_tree() const {
  make_folders(root_ / "partial");
}

std::unique_ptr<PartialFile> FileCache::partial(const Digest& content, uint64_t size, size_t chunks,
                                                bool make) {
  if (make) make_tree();
  return PartialFile::open(unfinished(content), size, chunks, make);
}

/// `file` is at `from`, or has no name yet if that is empty.
void FileCache::publish(int file, const fs::path& from, const Digest& content) {
  const fs::path to = complete(content);
  make_folders(to.parent_path());
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  check(::fchmod(file, 0400), "cannot seal " + to.string());
  set_times(file, now, boot_seal_, to);
  if (from.empty()) {
    const std::string self = "/proc/self/fd/" + std::to_string(file);
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) != 0 && errno != EEXIST)
      throw Error::sys("cannot name " + to.string());
  } else {
    check(::rename(from.c_str(), to.c_str()), "cannot name " + to.string());
  }
  const std::lock_guard lock(mutex_);
  unstable_.push_back(content);
}

void FileCache::seal(const Digest& content, PartialFile& partial) {
  publish(partial.fd(), partial.path(), content);
  ::unlink((partial.path().string() + ".map").c_str());
}

void FileCache::put(const Digest& content, uint64_t size, std::span<const Piece> pieces) {
  const Fd file = sample();
  check(::ftruncate(file.get(), static_cast<off_t>(size)), "cannot size " + complete(content).string());
  for (const Piece& piece : pieces) pwrite_full(file.get(), piece.bytes, static_cast<off_t>(piece.offset));
  publish(file.get(), {}, content);
}

Fd FileCache::sample() const {
  make_tree();
  const fs::path folder = root_ / "partial";
  Fd file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) throw Error::sys("cannot make a file in " + folder.string());
  return file;
}

bool FileCache::reserve(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > limit_) return false;
  struct statvfs space {};
  if (::statvfs(root_.parent_path().c_str(), &space) != 0) return false;
  const uint64_t kept_free = uint64_t{space.f_blocks} * space.f_frsize / 20;
  const uint64_t room = uint64_t{space.f_bavail} * space.f_frsize;
  const uint64_t lacking = room < kept_free + bytes ? kept_free + bytes - room : 0;
  // Other servers add as well: now and then their part is looked at, too.
  if (!counted_ || lacking > 0 || bytes_ + bytes > limit_ || added_ > limit_ / 16) sweep_locked(bytes);
  if (bytes_ + bytes > limit_) return false;
  if (lacking > 0) {
    if (::statvfs(root_.parent_path().c_str(), &space) != 0) return false;
    if (uint64_t{space.f_bavail} * space.f_frsize < kept_free + bytes) return false;
  }
  bytes_ += bytes;
  added_ += bytes;
  return true;
}

namespace {

struct Candidate {
  fs::path path;
  time_t used;
  uint64_t bytes;
};

/// Removes it unless somebody uses it. A partial file is pinned by the lock of its map.
bool remove_unused(const Candidate& candidate) {
  const std::string map = candidate.path.string() + ".map";
  const bool partial = candidate.path.parent_path().filename() == "partial";
  const Fd lock(::open(partial ? map.c_str() : candidate.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (lock && !lock_alone(lock.get())) return false;
  if (partial) ::unlink(map.c_str());
  return ::unlink(candidate.path.c_str()) == 0;
}

}  // namespace

/// Counts what is there, and makes room for `needed` bytes if they would not fit.
void FileCache::sweep_locked(uint64_t needed) {
  std::vector<Candidate> all;
  uint64_t total = 0;
  std::error_code error;
  for (const char* part : {"files", "partial"}) {
    const bool files = std::string_view(part) == "files";
    for (fs::recursive_directory_iterator at(root_ / part, error), end; !error && at != end;
         at.increment(error)) {
      struct stat status {};
      if (::lstat(at->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
      total += disk_bytes(status);
      if (at->path().extension() == ".map") continue;
      all.push_back({at->path(), files ? status.st_atim.tv_sec : status.st_mtim.tv_sec, disk_bytes(status)});
      const auto name = files && same(status.st_mtim, boot_seal_)
                            ? Digest::parse(at->path().filename().native())
                            : std::nullopt;
      if (!counted_ && name) unstable_.push_back(*name);
    }
  }
  bytes_ = total;
  added_ = 0;
  counted_ = true;
  struct statvfs space {};
  if (::statvfs(root_.parent_path().c_str(), &space) != 0) return;
  const uint64_t kept_free = uint64_t{space.f_blocks} * space.f_frsize / 20;
  const uint64_t room = uint64_t{space.f_bavail} * space.f_frsize;
  uint64_t goal = limit_;
  if (bytes_ + needed > limit_) goal = limit_ - limit_ / 8;
  uint64_t excess = bytes_ + needed > goal ? bytes_ + needed - goal : 0;
  if (room < kept_free + needed) excess = std::max(excess, kept_free + needed - room);
  if (excess == 0) return;
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.used < b.used; });
  for (const Candidate& candidate : all) {
    if (excess == 0) break;
    if (!remove_unused(candidate)) continue;
    bytes_ -= std::min(bytes_, candidate.bytes);
    excess -= std::min(excess, candidate.bytes);
  }
}

void FileCache::harden() {
  std::vector<Digest> sealed;
  {
    const std::lock_guard lock(mutex_);
    sealed.swap(unstable_);
  }
  if (sealed.empty()) return;
  const Fd folder(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder && errno == ENOENT) return;
  if (!folder || ::syncfs(folder.get()) != 0) {
    log::warn("{}", Error::sys("cannot flush " + root_.string()).what());
    return;  // they are whole as long as the machine stays up
  }
  for (const Digest& content : sealed) {
    const fs::path path = complete(content);
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0 || !same(status.st_mtim, boot_seal_)) continue;
    const timespec times[2] = {{0, UTIME_OMIT}, seal_for_good};
    if (::futimens(file.get(), times) != 0)
      log::warn("{}", Error::sys("cannot seal " + path.string()).what());
  }
}

}  // namespace coldstart
