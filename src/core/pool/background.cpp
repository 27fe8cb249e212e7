// SPDX-License-Identifier: Apache-2.0
#include "core/pool/background.h"

#include <limits>

#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

Background::Background(const std::map<int, unsigned>& threads)
    : ready_(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "cannot make an eventfd")) {
  // The owner bounds what it orders; it must never wait here.
  for (const auto& [kind, count] : threads)
    workers_[kind] = std::make_unique<Workers>(count, std::numeric_limits<size_t>::max());
}

void Background::run(int kind, std::function<void()> work, std::function<void(std::exception_ptr)> done) {
  workers_.at(kind)->submit([this, work = std::move(work), done = std::move(done)]() mutable {
    std::exception_ptr failure;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    work = nullptr;  // what it holds is given up here, not on the owner's thread
    const std::lock_guard lock(mutex_);
    finished_.emplace_back([done = std::move(done), failure] { done(failure); });
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(ready_.get(), &one, sizeof one);  // readable already, then
  });
}

void Background::collect() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(ready_.get(), &count, sizeof count);
  std::vector<std::function<void()>> finished;
  {
    const std::lock_guard lock(mutex_);
    finished.swap(finished_);
  }
  for (const auto& done : finished) done();
}

}  // namespace coldstart
