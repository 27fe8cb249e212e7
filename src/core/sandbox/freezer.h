// SPDX-License-Identifier: Apache-2.0
#pragma once
// Freezing what runs in a sandbox, and letting it run again. Frozen processes take no processor time; they go
// on where they were.
//
// By the freezer of control groups (version 2) where we may make one: the processes never know. Else by
// SIGSTOP and SIGCONT, of which their parents can know.

#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/base/fd.h"

namespace coldstart {

/// The name of the control group of the replica `id`.
inline std::string freezer_group(const std::string& id) {
  return "coldstart-" + id;
}

/// One thread at a time. Destroyed: what is frozen runs again, and the group, which should be empty, is
/// removed.
class Freezer {
 public:
  enum class Means { automatic, signals };
  /// Of `roots` and all that descends from them. `name` is that of the control group, where one is used.
  Freezer(std::vector<pid_t> roots, std::string name, Means means = Means::automatic);
  Freezer(const Freezer&) = delete;
  Freezer& operator=(const Freezer&) = delete;
  ~Freezer();

  /// Returns once nothing runs. Throws Error if that cannot be had; then all runs.
  void freeze();
  /// Fast: it is what a claim waits for.
  void thaw();
  bool frozen() const { return frozen_; }
  bool uses_control_group() const { return static_cast<bool>(freeze_file_); }

  /// Removes the empty group of that name, which a killed process left beside ours; nothing if there is none.
  static void remove_group(const std::string& name) noexcept;

 private:
  bool make_group();
  bool take_in();  // true if processes were found that were not in the group
  void freeze_group();
  void stop_all();
  std::vector<pid_t> processes() const;

  const std::vector<pid_t> roots_;
  const std::string name_;
  std::filesystem::path group_;
  Fd procs_file_, freeze_file_, events_file_;
  std::vector<Fd> stopped_;  // pidfds
  bool frozen_ = false;
};

}  // namespace coldstart
