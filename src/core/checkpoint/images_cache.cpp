// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/images_cache.h"

#include <algorithm>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "core/base/log.h"
#include "core/base/workers.h"
#include "core/image/image.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

// An entry is  HEX/lock, HEX/adoption, HEX/files/…, HEX/stamp.  The stamp is written last, and its own time
// is that of the last use.
struct Entry {
  fs::path folder;
  fs::path lock() const { return folder / "lock"; }          // shared: in use
  fs::path adoption() const { return folder / "adoption"; }  // exclusive: being replaced
  fs::path files() const { return folder / "files"; }
  fs::path stamp() const { return folder / "stamp"; }
};

struct stat stat_of(const fs::path& path) {
  struct stat st {};
  check(::stat(path.c_str(), &st), "cannot look at " + path.string());
  return st;
}

/// One line a file, of what changes whenever someone writes to it or puts another in its place.
std::string stamp_of(const fs::path& files) {
  std::vector<std::string> lines;
  for (const auto& file : fs::directory_iterator(files)) {
    const struct stat st = stat_of(file.path());
    lines.push_back(fmt::format("{} {} {} {}.{:09} {}.{:09}\n", file.path().filename().string(), st.st_ino,
                                st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec,
                                st.st_ctim.tv_nsec));
  }
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all += line;
  return all;
}

bool is_untouched(const Entry& entry) {
  std::error_code absent;
  if (!fs::exists(entry.stamp(), absent)) return false;
  return read_text(entry.stamp()) == stamp_of(entry.files());
}

uint64_t disk_bytes(const fs::path& folder) {
  uint64_t total = 0;
  for (const auto& file : fs::recursive_directory_iterator(folder))
    total += static_cast<uint64_t>(stat_of(file.path()).st_blocks) * 512;
  return total;
}

/// Only with the exclusive lock.
void clear(const Entry& entry) {
  fs::remove(entry.stamp());
  fs::remove_all(entry.files());
}

}  // namespace

ImagesCache::ImagesCache(const fs::path& store_root, uint64_t limit_bytes)
    : root_(store_root / "cache" / "criu"), limit_(limit_bytes) {
  make_folders(root_);
  if (limit_ != 0) return;
  struct statvfs space {};
  check(::statvfs(root_.c_str(), &space), "cannot ask for the space of " + root_.string());
  limit_ = uint64_t{space.f_blocks} * space.f_frsize / 10;
}

fs::path ImagesCache::entry(const Digest& tree) const {
  return root_ / tree.hex();
}

std::optional<ImagesFolder> ImagesCache::find(const Digest& tree) const {
  const Entry entry{this->entry(tree)};
  if (!fs::exists(entry.folder)) return std::nullopt;
  FileLock lock(entry.lock(), FileLock::Mode::shared);
  const FileLock nobody_adopts(entry.adoption(), FileLock::Mode::shared);
  if (!fs::exists(entry.stamp())) return std::nullopt;
  if (!is_untouched(entry)) {
    log::warn("{} was changed by someone: unpacking it from the store again", entry.files().string());
    return std::nullopt;
  }
  // The time of the last use, for trim().
  check(::utimensat(AT_FDCWD, entry.stamp().c_str(), nullptr, 0), "cannot touch " + entry.stamp().string());
  return ImagesFolder(entry.files(), std::move(lock));
}

ImagesFolder ImagesCache::get(Store& store, const Digest& tree, Operation& op) {
  make_folders(entry(tree));
  // Another's trim() may drop it between adopt() and find().
  for (;;) {
    if (auto found = find(tree)) return std::move(*found);
    const Store::Scratch scratch = store.scratch();
    const fs::path fresh = scratch.path() / "files";
    unpack_image(store, open_image(store, read_image_manifest(store, tree)), fresh, default_jobs(), op);
    adopt(fresh, tree);
  }
}

void ImagesCache::adopt(const fs::path& folder, const Digest& tree) {
  make_folders(entry(tree));
  const Entry entry{this->entry(tree)};
  {
    // Not alone: who uses the entry may do so for days. What it has open stays, and what it opens anew is the
    // same.
    const FileLock no_other_adopts(entry.adoption(), FileLock::Mode::exclusive);
    const FileLock nobody_drops(entry.lock(), FileLock::Mode::shared);
    if (is_untouched(entry)) return;  // another was faster
    fs::remove(entry.stamp());
    const fs::path before = folder.string() + ".before";
    if (fs::exists(entry.files()))
      check(::rename(entry.files().c_str(), before.c_str()), "cannot replace " + entry.files().string());
    check(::rename(folder.c_str(), entry.files().c_str()), "cannot keep " + entry.files().string());
    write_file_atomic(entry.stamp(), as_bytes(stamp_of(entry.files())));
    fs::remove_all(before);
  }
  trim(tree);
}

bool ImagesCache::has_room_for(uint64_t bytes) const {
  struct statvfs space {};
  check(::statvfs(root_.c_str(), &space), "cannot ask for the space of " + root_.string());
  return bytes <= limit_ && bytes < uint64_t{space.f_bavail} * space.f_frsize / 2;
}

void ImagesCache::trim(const Digest& newest) {
  struct Candidate {
    Entry entry;
    timespec used;
    uint64_t bytes;
  };
  std::vector<Candidate> all;
  uint64_t total = 0;
  for (const auto& folder : fs::directory_iterator(root_)) {
    const Entry entry{folder.path()};
    struct stat st {};
    if (!Digest::parse(folder.path().filename().string()) || ::stat(entry.stamp().c_str(), &st) != 0)
      continue;
    const uint64_t bytes = disk_bytes(entry.folder);
    total += bytes;
    if (folder.path() != this->entry(newest)) all.push_back({entry, st.st_mtim, bytes});
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  for (const Candidate& c : all) {
    if (total <= limit_) break;
    if (const auto alone = FileLock::try_lock(c.entry.lock(), FileLock::Mode::exclusive)) {
      clear(c.entry);
      total -= c.bytes;
    }
  }
}

}  // namespace coldstart
