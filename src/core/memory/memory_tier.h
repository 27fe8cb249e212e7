// SPDX-License-Identifier: Apache-2.0
#pragma once
// The host's memory tier: copies of snapshots' memory (shared_pages.h) that stay between restores.
//
//   /dev/shm/coldstart-HEX/          of one store, by the digest of its path; 0700
//     store                          whose tier it is: where that store is gone, others drop the tier
//     lock                           held while an entry is made, taken into use or dropped
//     DIGEST/                        a snapshot's copy
//       lock                         shared by who uses it: it stays
//       images/ layout pages present
//
// What nobody uses is dropped, least recently used first, where the tier would outgrow its budget and when
// the host runs short of memory. A reboot empties it.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/memory/page_source.h"
#include "core/store/digest.h"

namespace coldstart {

/// A copy in use: it stays while this lives.
class SharedCopy {
 public:
  SharedCopy(std::filesystem::path folder, FileLock lock)
      : folder_(std::move(folder)), lock_(std::move(lock)) {}
  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path images() const { return folder_ / "images"; }
  /// The pages file, to be mapped by processes: programs may make such memory executable, even where the
  /// file system is mounted noexec.
  Fd open_pages() const;

 private:
  std::filesystem::path folder_;
  FileLock lock_;
};

struct MemoryTierStat {
  uint64_t snapshots = 0;
  uint64_t bytes = 0;         ///< in memory
  uint64_t in_use_bytes = 0;  ///< of them, those that cannot be given back now
};

/// Any number of processes may use one at once; thread-safe.
class MemoryTier {
 public:
  /// A part of the host's memory: what a tier takes at most if nobody says otherwise.
  static uint64_t default_budget();

  explicit MemoryTier(const std::filesystem::path& store_root);
  /// The tier that a copy is in.
  static MemoryTier of(const std::filesystem::path& copy) {
    return MemoryTier(InPlace{}, copy.parent_path());
  }

  /// The copy of a snapshot, made (empty, but for its images) if it is not there. Nothing if it would not fit
  /// `budget` beside what is in use, or the host has no room for it, or the snapshot has nothing to share:
  /// `why` says which. Throws Error if `images` are damaged, or if the tier cannot be used at all.
  std::optional<SharedCopy> get(const Digest& snapshot, const std::filesystem::path& images, uint64_t budget,
                                std::string& why);
  /// Drops what nobody uses, least recently used first, until the host is no longer short of memory. Quick
  /// if it is not.
  void relieve();
  /// Drops what nobody uses and `wanted` does not want; gives the bytes. With `dry_run` it only tells.
  uint64_t collect(const std::function<bool(const Digest&)>& wanted, bool dry_run);
  MemoryTierStat stat() const;
  /// Of all copies, named by the digests of their snapshots.
  std::vector<std::filesystem::path> folders() const;

 private:
  struct InPlace {};
  MemoryTier(InPlace, std::filesystem::path root) : root_(std::move(root)) {}
  struct Entry;
  std::vector<Entry> entries() const;
  bool drop(const Entry& entry);
  void relieve_locked();
  bool make(const std::filesystem::path& folder, const std::filesystem::path& images, uint64_t budget,
            std::string& why);
  void drop_orphans();
  bool make_room(uint64_t bytes, uint64_t budget, const std::filesystem::path& for_folder, std::string& why);

  std::filesystem::path root_;
  std::filesystem::path store_;  // empty in one made by of()
};

/// True if the host is short of memory: very little is available, or little and programs wait for it.
bool short_of_memory();
/// For poll(2), POLLPRI: programs begin to wait for memory. None where the kernel does not tell.
Fd watch_memory_pressure();

}  // namespace coldstart
