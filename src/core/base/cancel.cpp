// SPDX-License-Identifier: Apache-2.0
#include "core/base/cancel.h"

#include <csignal>
#include <cstdint>

#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

CancelToken::CancelToken()
    : event_(coldstart::check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "cannot make an eventfd")) {}

void CancelToken::cancel(int signal) noexcept {
  int expected = 0;
  if (!state_.compare_exchange_strong(expected, signal + 1, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  // Cannot fail on a fresh eventfd, and there is nobody to tell in a signal handler.
  [[maybe_unused]] const ssize_t n = ::write(event_.get(), &one, sizeof one);
}

int CancelToken::signal() const noexcept {
  const int state = state_.load(std::memory_order_acquire);
  return state == 0 ? 0 : state - 1;
}

void CancelToken::check() const {
  if (!cancelled()) return;
  if (signal() == SIGTERM) throw Error("terminated", {}, Exit::terminated);
  throw Error("interrupted", {}, Exit::interrupted);
}

}  // namespace coldstart
