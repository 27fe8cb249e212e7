// SPDX-License-Identifier: Apache-2.0
#include "core/base/workers.h"

#include <algorithm>
#include <utility>

namespace coldstart {

unsigned default_jobs() {
  return std::max(1U, std::thread::hardware_concurrency());
}

Workers::Workers(unsigned threads, size_t queue_limit) : queue_limit_(std::max<size_t>(1, queue_limit)) {
  for (unsigned i = 0; i < std::max(1U, threads); ++i) threads_.emplace_back([this] { work(); });
}

Workers::~Workers() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    queue_.clear();
  }
  jobs_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void Workers::submit(std::function<void()> job) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return queue_.size() < queue_limit_ || failure_; });
  rethrow_locked();
  queue_.push_back(std::move(job));
  jobs_.notify_one();
}

bool Workers::offer(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  rethrow_locked();
  if (queue_.size() >= queue_limit_) return false;
  queue_.push_back(std::move(job));
  jobs_.notify_one();
  return true;
}

void Workers::wait() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return queue_.empty() && running_ == 0; });
  rethrow_locked();
}

void Workers::rethrow_locked() {
  if (failure_) std::rethrow_exception(failure_);
}

void Workers::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    jobs_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::function<void()> job = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    room_.notify_one();
    lock.unlock();
    std::exception_ptr failure;
    try {
      job();
      job = nullptr;  // frees what it holds before the next submit() is let in
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --running_;
    if (failure && !failure_) {
      failure_ = failure;
      queue_.clear();
      room_.notify_all();
    }
    if (queue_.empty() && running_ == 0) idle_.notify_all();
  }
}

}  // namespace coldstart
