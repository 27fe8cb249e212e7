// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a controller has begun with other processes, so that whoever comes after it can put them back.
//
//   STORE/gpu/PID-START.journal     of the controller PID, which holds an flock on it for its life
//
//     coldstart gpu journal 1 BOOT_ID
//     lock 4711 88231               a line before each transition: the step, the process and its start time
//     checkpoint 4711 88231
//     restore 4711 88231
//     failed 4711 88231             the restore failed: it must not be tried again
//
// A line is on disk before the transition begins; a last line without its end is of a transition that did
// not. Nothing here outlives a boot, as no process does.

#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "core/base/files.h"

namespace coldstart {

/// A process as the journal knows it.
struct JournalledProcess {
  pid_t pid = 0;
  uint64_t started = 0;   ///< start_time_of(pid): with the pid it names the process for good
  unsigned restores = 0;  ///< that were begun
  bool restore_failed = false;
  bool alive() const;
};

/// A journal that is ours: its lock is held. Thread-safe; move it only before threads use it.
class GpuJournal {
 public:
  /// A new one, in STORE/gpu.
  static GpuJournal create(const std::filesystem::path& store_root);
  /// Those of controllers that are gone, now ours. Those that name no living process are removed instead.
  /// Cheap where there are none. Throws Error::corrupt for a file that is no journal.
  static std::vector<GpuJournal> orphans(const std::filesystem::path& store_root);

  /// Returns once it is on disk.
  void note(std::string_view step, pid_t pid, uint64_t started);
  std::vector<JournalledProcess> processes() const;
  /// All that it names is put back.
  void remove();

 private:
  GpuJournal(std::filesystem::path path, FileLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::filesystem::path path_;
  FileLock lock_;
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();  // guards the file and processes_
  std::vector<JournalledProcess> processes_;
};

/// Parses a journal's text; `current_boot` is set to whether it is of this boot. Throws Error::corrupt.
std::vector<JournalledProcess> parse_gpu_journal(std::string_view text, const std::string& document,
                                                 std::string_view boot_id, bool& current_boot);

}  // namespace coldstart
