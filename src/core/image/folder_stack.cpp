// SPDX-License-Identifier: Apache-2.0
#include "core/image/folder_stack.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/error.h"

namespace coldstart {

namespace {
constexpr size_t most_open = 64;
}

void FolderStack::push(Fd folder) {
  struct stat st {};
  check(::fstat(folder.get(), &st), "cannot stat a folder");
  levels_.push_back({std::move(folder), st.st_dev, st.st_ino});
  if (levels_.size() > most_open) levels_[levels_.size() - most_open - 1].fd.reset();
}

void FolderStack::pop() {
  const Fd left = std::move(levels_.back().fd);
  levels_.pop_back();
  if (levels_.empty() || levels_.back().fd) return;
  Level& top = levels_.back();
  Fd up = open_at(left.get(), "..", O_RDONLY | O_DIRECTORY);
  struct stat st {};
  check(::fstat(up.get(), &st), "cannot stat a folder");
  if (st.st_dev != top.device || st.st_ino != top.inode) throw Error("a folder was moved during the walk");
  top.fd = std::move(up);
}

}  // namespace coldstart
