// SPDX-License-Identifier: Apache-2.0
#pragma once
// The folders from a root down to where a walk stands, with a bounded number of descriptors open, so that
// even a tree that is thousands deep needs no more.

#include <vector>

#include <sys/types.h>

#include "core/base/fd.h"

namespace coldstart {

/// Not thread-safe.
class FolderStack {
 public:
  /// Enters a folder below the top one (or the root, first).
  void push(Fd folder);
  /// Leaves the top folder. The one below it is opened again by ".." if it had been closed; throws Error if
  /// that is another folder by now.
  void pop();
  int top() const { return levels_.back().fd.get(); }
  size_t depth() const { return levels_.size(); }

 private:
  struct Level {
    Fd fd;  // none: closed for now
    dev_t device;
    ino_t inode;
  };
  std::vector<Level> levels_;
};

}  // namespace coldstart
