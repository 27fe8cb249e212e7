// SPDX-License-Identifier: Apache-2.0
#pragma once
// Work that takes time, done by other threads for a thread that must not wait.

#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/fd.h"
#include "core/base/workers.h"

namespace coldstart {

/// run() and collect() are called by one thread, the owner. Destroyed: what runs is waited for, what has not
/// begun is dropped, and so is what is done but not collected.
class Background {
 public:
  /// `threads`: how many work on each kind of job.
  explicit Background(const std::map<int, unsigned>& threads);
  /// `done` is called by collect(), with what `work` has thrown.
  void run(int kind, std::function<void()> work, std::function<void(std::exception_ptr)> done);
  /// Readable when collect() has something to do: for poll(2).
  int fd() const { return ready_.get(); }
  /// Calls what is to be called for finished work.
  void collect();

 private:
  Fd ready_;          // an eventfd
  std::mutex mutex_;  // guards finished_
  std::vector<std::function<void()>> finished_;
  std::map<int, std::unique_ptr<Workers>> workers_;
};

}  // namespace coldstart
