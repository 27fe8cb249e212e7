// SPDX-License-Identifier: Apache-2.0
#pragma once
// How each inode is open: the kernel lets all opens of an inode be passed through to one backing file, or
// none (passthrough.h). The table lies in memory that may outlive the process: a new server of a living mount
// finds how files were opened that are still open. A process that is killed in the middle of an open or a
// release can only leave an inode counted as open for good, and then it is opened the same way for good.

#include <array>
#include <atomic>
#include <mutex>

#include "core/base/fd.h"
#include "core/imagefs/passthrough.h"

namespace coldstart {

/// Thread-safe.
class OpenTable {
 public:
  struct Entry {
    uint32_t opens;
    int32_t backing;  ///< id; 0: not passed through
  };

  /// For inodes 1 to `inodes`. `memory` is a descriptor of a memfd (kept by the caller), or -1.
  OpenTable(uint32_t inodes, int memory);
  OpenTable(const OpenTable&) = delete;
  OpenTable& operator=(const OpenTable&) = delete;
  ~OpenTable();

  /// Counts an open. `find_backing` gives a new backing id, or 0, and is asked if the inode is not open. The
  /// answer is the id to be used, or 0.
  template <class Find>
  int open(uint32_t inode, Find find_backing) {
    const std::lock_guard lock(lock_of(inode));
    Entry& entry = entries_[inode];
    if (entry.opens == 0) entry.backing = find_backing();
    ++entry.opens;
    return entry.backing;
  }
  /// Counts a release (after it was answered); `drop` is given a backing id that is not used any more.
  template <class Drop>
  void release(uint32_t inode, Drop drop) {
    const std::lock_guard lock(lock_of(inode));
    Entry& entry = entries_[inode];
    if (entry.opens == 0 || --entry.opens > 0) return;
    if (entry.backing != 0) drop(entry.backing);
    entry.backing = 0;
  }

 private:
  std::mutex& lock_of(uint32_t inode) { return locks_[inode % locks_.size()]; }

  std::array<std::mutex, 64> locks_;  // each guards the entries of its inodes
  Entry* entries_ = nullptr;          // mapped; pages that are not used take no memory
  size_t bytes_ = 0;
};

}  // namespace coldstart
