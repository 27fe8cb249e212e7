// SPDX-License-Identifier: Apache-2.0
#include "core/memory/memory_tier.h"

#include <algorithm>
#include <cerrno>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/memory/shared_pages.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr const char* memory_file_system = "/dev/shm";
const std::string tier_prefix = "coldstart-";
// Of all memory: what a tier may take, and what must be left for others.
constexpr uint64_t budget_percent = 40;
constexpr uint64_t least_available_percent = 8;
// Percent of the last ten seconds in which everybody waited for memory. Where much is available all the same,
// the cause is elsewhere, or over: the average is slow to fall.
constexpr double most_pressure = 5;
constexpr uint64_t much_available_percent = 30;

double pressure() {
  std::ifstream in("/proc/pressure/memory");  // absent on kernels without it
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("full avg10=")) return std::stod(line.substr(11));
  return 0;
}

uint64_t free_bytes(const fs::path& folder) {
  struct statvfs space {};
  check(::statvfs(folder.c_str(), &space), "cannot ask for the room in " + folder.string());
  return uint64_t{space.f_bavail} * space.f_frsize;
}

uint64_t bytes_of_folder(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code gone;
  for (const auto& file : fs::recursive_directory_iterator(folder, gone)) {
    struct stat st {};
    if (::lstat(file.path().c_str(), &st) == 0) total += static_cast<uint64_t>(st.st_blocks) * 512;
  }
  return total;
}

/// What the pages file holds once it is full.
uint64_t full_bytes(const std::vector<SharedMapping>& mappings) {
  uint64_t sum = 0;
  for (const SharedMapping& m : mappings) sum += m.bytes;
  return sum;
}

/// A folder in a place where everybody may make folders: it must be ours alone.
void make_private_folder(const fs::path& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    throw Error::sys("cannot create " + folder.string());
  struct stat st {};
  check(::lstat(folder.c_str(), &st), "cannot look at " + folder.string());
  if (!S_ISDIR(st.st_mode) || st.st_uid != ::geteuid() || (st.st_mode & 077) != 0)
    throw Error(folder.string() + " belongs to somebody else, or others may look into it",
                "remove it, or restore with --memory lazy");
}

}  // namespace

bool short_of_memory() {
  const uint64_t available = available_memory() / std::max<uint64_t>(1, usable_memory() / 100);  // percent
  return available < least_available_percent ||
         (available < much_available_percent && pressure() >= most_pressure);
}

Fd watch_memory_pressure() {
  Fd fd(::open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  const std::string when = "some 100000 1000000";  // a tenth of a second
  if (fd && ::write(fd.get(), when.c_str(), when.size() + 1) < 0) fd.reset();
  return fd;
}

Fd SharedCopy::open_pages() const {
  struct statvfs space {};
  check(::statvfs(folder_.c_str(), &space), "cannot look at " + folder_.string());
  if ((space.f_flag & ST_NOEXEC) == 0) return open_file(folder_ / "pages", O_RDONLY);
#ifdef SYS_mount_setattr
  // Through a mount of our own that is attached nowhere, without the flag.
  const Fd mount(static_cast<int>(
      ::syscall(SYS_open_tree, AT_FDCWD, folder_.c_str(), 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC)));
  struct {
    uint64_t set, clear, propagation, userns;
  } attributes{0, 8 /* MOUNT_ATTR_NOEXEC */, 0, 0};
  if (mount &&
      ::syscall(SYS_mount_setattr, mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0)
    return open_at(mount.get(), "pages", O_RDONLY);
#endif
  throw Error::sys("cannot open shared memory that may be executed",
                   std::string("mount ") + memory_file_system + " without noexec, or use --memory lazy");
}

struct MemoryTier::Entry {
  fs::path folder;
  Digest snapshot;
  timespec used{};
};

uint64_t MemoryTier::default_budget() {
  return usable_memory() / 100 * budget_percent;
}

MemoryTier::MemoryTier(const fs::path& store_root)
    : root_(fs::path(memory_file_system) /
            (tier_prefix +
             Digest::of(as_bytes(fs::weakly_canonical(store_root).string())).hex().substr(0, 16))),
      store_(fs::weakly_canonical(store_root)) {}

std::vector<MemoryTier::Entry> MemoryTier::entries() const {
  std::vector<Entry> all;
  std::error_code none;
  for (const auto& folder : fs::directory_iterator(root_, none)) {
    const auto digest = Digest::parse("sha256:" + folder.path().filename().string());
    struct stat st {};
    if (digest && ::stat((folder.path() / "lock").c_str(), &st) == 0)
      all.push_back({folder.path(), *digest, st.st_mtim});
  }
  std::sort(all.begin(), all.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  return all;
}

/// Only with the tier's lock. False if it is in use.
bool MemoryTier::drop(const Entry& entry) {
  const auto alone = FileLock::try_lock(entry.folder / "lock", FileLock::Mode::exclusive);
  if (!alone) return false;
  log::debug("the memory of snapshot {} is given back", entry.snapshot.text());
  fs::remove_all(entry.folder);
  return true;
}

/// Drops others until `bytes` more fit the budget and the file system.
bool MemoryTier::make_room(uint64_t bytes, uint64_t budget, const fs::path& for_folder, std::string& why) {
  const std::vector<Entry> all = entries();
  uint64_t others = 0;
  std::vector<uint64_t> sizes;
  for (const Entry& e : all) {
    sizes.push_back(e.folder == for_folder ? 0 : bytes_of_folder(e.folder));
    others += sizes.back();
  }
  const auto fits = [&] { return others + bytes <= budget && bytes <= free_bytes(root_); };
  for (size_t i = 0; i < all.size() && !fits(); ++i)
    if (all[i].folder != for_folder && drop(all[i])) others -= sizes[i];
  if (fits()) return true;
  why = others + bytes > budget ? fmt::format("{} bytes do not fit a memory cache of {}", bytes, budget)
                                : fmt::format("{} has no room for {} bytes", memory_file_system, bytes);
  return false;
}

/// Makes an entry aside and renames it into place.
bool MemoryTier::make(const fs::path& folder, const fs::path& images, uint64_t budget, std::string& why) {
  std::vector<SharedMapping> mappings = choose_shared_mappings(images, true);
  // Device memory may be very large; its bytes can come from elsewhere.
  if (full_bytes(mappings) > budget) mappings = choose_shared_mappings(images, false);
  if (mappings.empty()) {
    why = "the snapshot has no memory that can be shared";
    return false;
  }
  if (!make_room(full_bytes(mappings), budget, folder, why)) return false;
  drop_orphans();
  TempDir aside(root_, ".new-");
  make_folders(aside.path() / "images");
  write_shared_images(images, aside.path() / "images", mappings);
  SharedPages::create(aside.path(), mappings);
  write_full(open_file(aside.path() / "lock", O_WRONLY | O_CREAT).get(), {});
  check(::rename(aside.path().c_str(), folder.c_str()), "cannot keep " + folder.string());
  aside.release();
  return true;
}

/// The tiers of stores that were removed.
void MemoryTier::drop_orphans() {
  std::error_code none;
  for (const auto& folder : fs::directory_iterator(memory_file_system, none)) {
    if (!folder.path().filename().string().starts_with(tier_prefix) || folder.path() == root_) continue;
    try {
      if (fs::exists(read_text(folder.path() / "store"))) continue;
      MemoryTier orphan(InPlace{}, folder.path());
      orphan.collect([](const Digest&) { return false; }, false);
      if (orphan.entries().empty()) fs::remove_all(folder.path());
    } catch (const std::exception& e) {
      log::debug("{} stays: {}", folder.path().string(), e.what());
    }
  }
}

std::optional<SharedCopy> MemoryTier::get(const Digest& snapshot, const fs::path& images, uint64_t budget,
                                          std::string& why) {
  make_private_folder(root_);
  const FileLock all(root_ / "lock", FileLock::Mode::exclusive);
  if (!fs::exists(root_ / "store"))
    write_full(open_file(root_ / "store", O_WRONLY | O_CREAT | O_TRUNC).get(), as_bytes(store_.string()));
  const fs::path folder = root_ / snapshot.hex();
  std::optional<FileLock> lock;  // first of all: making room must not take what is wanted
  const auto hold = [&] { lock.emplace(folder / "lock", FileLock::Mode::shared); };
  if (fs::exists(folder)) hold();
  relieve_locked();
  if (!lock && !make(folder, images, budget, why)) return std::nullopt;
  if (!lock) hold();
  check(::utimensat(AT_FDCWD, (folder / "lock").c_str(), nullptr, 0), "cannot touch " + folder.string());
  return SharedCopy(folder, std::move(*lock));
}

void MemoryTier::relieve() {
  std::error_code none;
  if (!short_of_memory() || !fs::exists(root_, none)) return;
  const FileLock all(root_ / "lock", FileLock::Mode::exclusive);
  relieve_locked();
}

/// With the tier's lock.
void MemoryTier::relieve_locked() {
  for (const Entry& entry : entries()) {
    if (!short_of_memory()) return;
    drop(entry);
  }
}

uint64_t MemoryTier::collect(const std::function<bool(const Digest&)>& wanted, bool dry_run) {
  std::error_code none;
  if (!fs::exists(root_, none)) return 0;
  const FileLock all(root_ / "lock", FileLock::Mode::exclusive);
  uint64_t freed = 0;
  for (const Entry& entry : entries()) {
    if (wanted(entry.snapshot)) continue;
    const uint64_t bytes = bytes_of_folder(entry.folder);
    const bool dropped =
        dry_run ? FileLock::try_lock(entry.folder / "lock", FileLock::Mode::exclusive).has_value()
                : drop(entry);
    if (dropped) freed += bytes;
  }
  for (const auto& folder : fs::directory_iterator(root_, none))  // of who was killed while making one
    if (!dry_run && folder.path().filename().string().starts_with(".new-")) fs::remove_all(folder.path());
  return freed;
}

std::vector<fs::path> MemoryTier::folders() const {
  std::vector<fs::path> result;
  for (const Entry& entry : entries()) result.push_back(entry.folder);
  return result;
}

MemoryTierStat MemoryTier::stat() const {
  MemoryTierStat result;
  for (const Entry& entry : entries()) {
    const uint64_t bytes = bytes_of_folder(entry.folder);
    ++result.snapshots;
    result.bytes += bytes;
    if (!FileLock::try_lock(entry.folder / "lock", FileLock::Mode::exclusive)) result.in_use_bytes += bytes;
  }
  return result;
}

}  // namespace coldstart
