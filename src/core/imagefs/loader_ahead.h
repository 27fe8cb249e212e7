// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads ahead of dynamic loaders. A program start opens hundreds of libraries, one after the other, and of
// each it reads the header, then tables at the file's end, then tables behind the header: every time it
// waits for chunks that could have been foreseen. From the first byte of a program or library on, what the
// loader wants of it is loaded at once, and so is what it wants of the libraries named in it, in the order
// in which a loader opens them (breadth first), a few libraries ahead.

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "core/imagefs/file_reader.h"
#include "core/imagefs/library_names.h"
#include "core/store/store.h"

namespace coldstart {

/// Thread-safe. All that it is given must outlive it. What cannot be loaded is left to who reads it.
class LoaderAhead {
 public:
  /// `far`: where `files` has its chunks from, if they come from an origin, or null. From there more is
  /// fetched ahead.
  LoaderAhead(const ImageReader& image, FileReader& files, Store* far);
  ~LoaderAhead();
  LoaderAhead(const LoaderAhead&) = delete;
  LoaderAhead& operator=(const LoaderAhead&) = delete;

  /// Somebody is about to read the beginning of this file. Cheap.
  void begins(uint32_t inode);
  /// It was read, and is that of a program or library. Cheap.
  void started(uint32_t inode);

 private:
  struct Program {
    uint32_t inode;
    bool opened;
  };
  using Plan = std::deque<Program>;  // what one start opens

  void work();
  std::shared_ptr<Plan> next(Program& program);
  void load(uint32_t inode);
  void fetch(uint32_t inode);
  void expect_end(uint32_t inode);
  std::vector<uint32_t> needs(uint32_t inode);

  const ImageReader& image_;
  FileReader& files_;
  Store* const far_;  // or null
  std::once_flag named_;
  std::unique_ptr<const LibraryNames> names_;
  std::mutex mutex_;  // guards all below
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Plan>> plans_;  // the last one goes first
  std::set<uint32_t> seen_;                   // opened, or planned
  std::set<uint32_t> waiting_;                // loaded, and not opened yet
  bool stop_ = false;
  std::vector<std::thread> threads_;  // last: they use all above
};

}  // namespace coldstart
