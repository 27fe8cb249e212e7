// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/caller_link.h"

#include <cerrno>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

// Who means the program by a signal sends it once there is one; who waits longer than this wants an end.
constexpr std::chrono::seconds longest_hold(1);

}  // namespace

CallerLink::CallerLink(Fd socket, CancelToken& cancel)
    : socket_(std::move(socket)),
      stop_(check(::eventfd(0, EFD_CLOEXEC), "cannot make an eventfd")),
      orders_ready_(
          check(::eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE | EFD_NONBLOCK), "cannot make an eventfd")),
      cancel_(cancel),
      thread_([this] { listen(); }) {}

CallerLink::~CallerLink() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(stop_.get(), &one, sizeof one);  // cannot fail: it is 0
  thread_.join();
}

void CallerLink::send(const OrderedJson& message) {
  const std::string text = message.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  if (::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0)
    log::debug("nobody listens to: {}", text);
}

void CallerLink::forward_signals_to(int pidfd) {
  const std::lock_guard lock(mutex_);
  target_ = pidfd;
  holding_ = false;
  for (const int signal : std::exchange(held_, {})) forward_locked(signal);
}

void CallerLink::hold_signals() {
  const std::lock_guard lock(mutex_);
  holding_ = true;
}

void CallerLink::forward_locked(int signal) {
  if (target_ >= 0 && ::syscall(SYS_pidfd_send_signal, target_, signal, nullptr, 0) != 0 && errno != ESRCH)
    log::warn("cannot forward signal {}", signal);
}

std::string CallerLink::take_order() {
  const std::lock_guard lock(mutex_);
  uint64_t one = 0;
  [[maybe_unused]] const ssize_t n = ::read(orders_ready_.get(), &one, sizeof one);  // not there: 0 orders
  if (orders_.empty()) return {};
  std::string order = std::move(orders_.front());
  orders_.pop_front();
  return order;
}

void CallerLink::take(std::string_view message) {
  constexpr size_t most_orders = 64;
  const std::string document = "the caller's message";
  const Json json = parse_json(message, document);
  if (json.contains("detach")) {
    detached_ = field<bool>(json, "detach", document);
    return;
  }
  const std::lock_guard lock(mutex_);
  if (json.contains("order")) {
    if (orders_.size() >= most_orders) throw Error("the caller orders more than is done");
    orders_.push_back(field<std::string>(json, "order", document));
    const uint64_t one = 1;
    check(::write(orders_ready_.get(), &one, sizeof one), "cannot hand an order on");
    return;
  }
  const int signal = field<int>(json, "signal", document);
  if (target_ >= 0)
    forward_locked(signal);
  else if (!holding_)
    cancel_.cancel(signal);
  else {
    if (held_.empty()) held_since_ = Clock::now();
    held_.push_back(signal);
  }
}

/// Until what is held has waited too long; -1 if nothing is held. What has waited too long cancels.
int CallerLink::milliseconds_left() {
  const std::lock_guard lock(mutex_);
  if (held_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(held_since_ + longest_hold - Clock::now());
  if (left.count() > 0) return static_cast<int>(left.count());
  cancel_.cancel(held_.front());
  held_.clear();
  holding_ = false;
  return -1;
}

void CallerLink::listen() {
  char buffer[4096];
  for (;;) {
    pollfd polls[2] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (::poll(polls, 2, milliseconds_left()) <= 0) continue;  // EINTR, or time to look at what is held
    if (polls[1].revents != 0) return;
    const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    try {
      if (n > 0) {
        take({buffer, static_cast<size_t>(n)});
        continue;
      }
    } catch (const Error& e) {
      log::warn("{}", e.message());
      continue;
    }
    if (detached_) return;
    gone_ = true;
    cancel_.cancel();
    return;
  }
}

}  // namespace coldstart
