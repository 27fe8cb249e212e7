// SPDX-License-Identifier: Apache-2.0
#pragma once
// A few threads that work off a bounded queue.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace coldstart {

/// The number of threads to use when the user did not say.
unsigned default_jobs();

/// Runs jobs in the order they came, `threads` at a time. The first job that throws makes all later ones
/// be dropped, and its exception comes out of the next submit() or wait(). submit() may be called from
/// many threads. The destructor drops what is queued and waits for what runs.
class Workers {
 public:
  /// submit() blocks while `queue_limit` jobs wait, so what they hold in memory stays bounded.
  Workers(unsigned threads, size_t queue_limit);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void submit(std::function<void()> job);
  /// The same, but never blocks: false if there was no room.
  bool offer(std::function<void()> job);
  /// Waits until all jobs are done; throws what the first failed one threw.
  void wait();

 private:
  void work();
  void rethrow_locked();

  const size_t queue_limit_;
  std::mutex mutex_;  // guards all below
  std::condition_variable room_;
  std::condition_variable jobs_;
  std::condition_variable idle_;
  std::deque<std::function<void()>> queue_;
  size_t running_ = 0;
  bool stop_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace coldstart
