// SPDX-License-Identifier: Apache-2.0
#pragma once
// Dumping processes that map a shared copy (shared_pages.h): their snapshot is to have that memory as its own
// again, like that of any process.
//
// CRIU takes such memory for mappings of a file and dumps only the pages that were written to. So the file is
// declared external, and while the processes are still frozen the images are edited: the mappings become
// anonymous ones, and the pages that CRIU left out are read from the processes themselves, whose page server
// still runs and knows which of them were discarded.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <sys/types.h>

namespace coldstart {

class MemoryTier;

/// What a tree maps of shared copies, as it is when this is made.
class SharedDump {
 public:
  SharedDump(const MemoryTier& tier, pid_t root);
  bool empty() const { return copies_.empty(); }
  /// For CriuOptions::external.
  const std::vector<std::string>& external() const { return external_; }
  /// The folders of the copies: they must be full (fill_all) before the tree is frozen.
  const std::map<std::string, std::filesystem::path>& copies() const { return copies_; }
  /// Edits what CRIU has just dumped of the tree below `root`, which is frozen.
  void unshare(const std::filesystem::path& images, pid_t root) const;

 private:
  std::vector<std::string> external_;
  std::map<std::string, std::filesystem::path> copies_;  // by what CRIU calls their pages files
};

}  // namespace coldstart
