// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/mount_users.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd_passing.h"
#include "core/base/log.h"
#include "core/base/unix_socket.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

using namespace std::chrono_literals;

constexpr auto least_wait_for_first = 10s;

/// He may be gone by now.
void tell(int user, char word) {
  [[maybe_unused]] const ssize_t n = ::send(user, &word, 1, MSG_NOSIGNAL);
}

}  // namespace

MountUsers::MountUsers(fs::path folder, MountShareFds given, std::chrono::milliseconds linger)
    : folder_(std::move(folder)),
      given_(std::move(given)),
      linger_(linger),
      socket_(folder_ / mount_share_socket(device_of(open_file(folder_ / "image", O_PATH).get()))),
      listener_(listen_on(socket_, SOCK_SEQPACKET | SOCK_NONBLOCK)),
      timer_(check(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "cannot make a timer")),
      epoll_(check(::epoll_create1(EPOLL_CLOEXEC), "cannot wait for users")) {
  watch(listener_.get());
  watch(timer_.get());
  set_timer(std::max<std::chrono::milliseconds>(linger_, least_wait_for_first));
}

void MountUsers::watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "cannot wait for users");
}

/// 0: none.
void MountUsers::set_timer(std::chrono::milliseconds after) {
  itimerspec when{};
  when.it_value.tv_sec = after / 1s;
  when.it_value.tv_nsec = (after % 1s) / 1ns;
  check(::timerfd_settime(timer_.get(), 0, &when, nullptr), "cannot set a timer");
}

bool MountUsers::serve() {
  std::array<epoll_event, 16> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), 0);
  if (count < 0 && errno != EINTR) throw Error::sys("cannot wait for users");
  bool time_is_up = false;
  for (int i = 0; i < count; ++i) {
    const int fd = events[static_cast<size_t>(i)].data.fd;
    if (fd == listener_.get())
      accept_all();
    else if (fd == timer_.get())
      time_is_up = true;
    else
      hear(fd);
  }
  if (!users_.empty()) return false;
  if (time_is_up || !leaving_.empty() || socket_.empty()) return nobody_comes();
  return false;
}

/// Who connects before the socket's name is gone is taken in still.
bool MountUsers::nobody_comes() {
  if (!socket_.empty() && ::unlink(socket_.c_str()) != 0 && errno != ENOENT)
    throw Error::sys("cannot remove " + socket_.string());
  socket_.clear();
  set_timer(0ms);
  accept_all();
  if (users_.empty()) {
    for (auto& [fd, connection] : leaving_) connection.release();  // closed by our end, which they wait for
    return true;
  }
  for (const auto& [fd, connection] : leaving_) tell(fd, MountShareWord::stays);
  leaving_.clear();
  return false;
}

void MountUsers::give_up() {
  for (const auto& [fd, connection] : users_) tell(fd, MountShareWord::gave_up);
}

void MountUsers::accept_all() {
  for (;;) {
    Fd user(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!user && (errno == EAGAIN || errno == ECONNABORTED)) return;
    if (!user && errno == EINTR) continue;
    if (!user) throw Error::sys("cannot take a user of the mount in");
    try {
      const Fd tree = copy_mount(folder_ / "image");
      send_fds(user.get(), as_bytes("+"),
               std::array{tree.get(), given_.fuse.get(), given_.state.get(), given_.opens.get(),
                          given_.alive.get()});
    } catch (const Error& e) {
      log::warn("a user of the mount is turned away: {}", e.message());
      continue;
    }
    watch(user.get());
    const int number = user.get();
    users_.emplace(number, std::move(user));
    set_timer(0ms);
  }
}

/// A word of a user's, or that he is gone.
void MountUsers::hear(int fd) {
  char word = 0;
  const ssize_t n = ::recv(fd, &word, 1, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0 && word != MountShareWord::leave && word != MountShareWord::dismiss) return;
  const auto user = users_.find(fd);
  if (user == users_.end()) {  // one who was leaving
    leaving_.erase(fd);
    return;
  }
  Fd connection = std::move(user->second);
  users_.erase(user);
  const bool ends = users_.empty() && (linger_ == 0ms || word == MountShareWord::dismiss || socket_.empty());
  if (n > 0 && ends) {
    leaving_.emplace(fd, std::move(connection));
  } else {
    if (n > 0) tell(fd, MountShareWord::stays);
    if (users_.empty()) set_timer(std::max<std::chrono::milliseconds>(linger_, 1ms));
  }
}

}  // namespace coldstart
