// SPDX-License-Identifier: Apache-2.0
#pragma once
// The tree of an image, name by name.

#include <string>
#include <vector>

#include <sys/stat.h>

#include "core/image/reader.h"

namespace coldstart {

/// Visits every name below the root depth first, in order. Visitor has
///   void enter(const std::string& path, std::string_view name, uint32_t inode)   a folder, before its
///   entries void leave(const std::string& path, uint32_t inode)                          the same, after
///   them void visit(const std::string& path, std::string_view name, uint32_t inode)   anything else
/// The root is entered (and left) with an empty path and name. Does not recurse.
template <class Visitor>
void walk_tree(const ImageReader& image, Visitor&& visitor) {
  struct Level {
    uint32_t inode;
    uint32_t next;
    size_t path_bytes;  // of the folder that it is in
  };
  std::string path;
  std::vector<Level> levels = {{root_inode, 0, 0}};
  visitor.enter(path, std::string_view(), root_inode);
  while (!levels.empty()) {
    Level& level = levels.back();
    const auto entries = image.entries(image.inode(level.inode));
    if (level.next == entries.size()) {
      visitor.leave(path, level.inode);
      path.resize(level.path_bytes);
      levels.pop_back();
      continue;
    }
    const EntryRecord& entry = entries[level.next++];
    const std::string_view name = image.name(entry);
    const size_t before = path.size();
    if (!path.empty()) path += '/';
    path += name;
    if ((image.inode(entry.inode).mode & S_IFMT) == S_IFDIR) {
      visitor.enter(path, name, entry.inode);
      levels.push_back({entry.inode, 0, before});
    } else {
      visitor.visit(path, name, entry.inode);
      path.resize(before);
    }
  }
}

}  // namespace coldstart
