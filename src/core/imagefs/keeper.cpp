// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/keeper.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/imagefs/greeting.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/launch.h"
#include "core/imagefs/mount_users.h"

namespace coldstart {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto long_life = 1s;             // a server that lived so long did not die of being started
constexpr unsigned most_short_lives = 20;  // in a row; with the pauses between them some 10 s
constexpr unsigned free_restarts = 3;      // in a row, without a pause
constexpr auto first_pause = 10ms;
constexpr auto longest_pause = 1000ms;

constexpr const char* own_program = "/proc/self/exe";

/// Where our program was started from; another file may have its name by now.
std::string program_path() {
  std::error_code error;
  std::string path = std::filesystem::read_symlink(own_program, error).string();
  constexpr std::string_view deleted = " (deleted)";
  if (path.ends_with(deleted)) path.resize(path.size() - deleted.size());
  return error ? own_program : path;
}

class Keeper {
 public:
  Keeper(const KeepOptions& options, int hangups, const CancelToken& cancel)
      : options_(options),
        hangups_(hangups),
        cancel_(cancel),
        state_(state_or_new(options.state_fd)),
        opens_(state_or_new(options.opens_fd)) {}

  void start() {
    if (options_.state_fd >= 0) require_resend("its keeper died");
    start_server(own_program);
    if (options_.share.empty()) return;
    users_.emplace(options_.share,
                   MountShareFds{Fd(), copy_of(options_.fuse_fd), state_.dup(), opens_.dup(),
                                 copy_of(options_.alive_fd)},
                   options_.linger);
  }

  void run() {
    for (;;) {
      pollfd polls[4] = {{server_.pidfd(), POLLIN, 0},
                         {cancel_.fd(), POLLIN, 0},
                         {hangups_, POLLIN, 0},
                         {users_ ? users_->fd() : -1, POLLIN, 0}};
      if (::poll(polls, 4, -1) < 0 && errno != EINTR) throw Error::sys("cannot wait for the image server");
      if (cancel_.cancelled()) return end();
      if (polls[0].revents != 0) {
        const ExitState exit = server_.wait();
        if (!mounted()) return;
        try {
          revive(exit.text());
        } catch (const Error&) {
          if (users_) users_->give_up();
          throw;
        }
      } else if (polls[2].revents != 0) {
        upgrade();
      } else if (polls[3].revents != 0 && users_->serve()) {
        return end();
      }
    }
  }

 private:
  static Fd copy_of(int fd) {
    return Fd(check(::fcntl(fd, F_DUPFD_CLOEXEC, 3), "cannot duplicate a descriptor"));
  }
  static Fd state_or_new(int fd) { return fd >= 0 ? Fd(fd) : make_server_state(); }

  void require_resend(const std::string& why) const {
    const auto greeting = read_greeting(state_.get());
    if (!greeting || !greeting->can_resend())
      throw Error(why + ", and this kernel is too old to replace it",
                  "Linux 6.9 or newer is needed for that");
  }

  void start_server(const std::string& program) {
    server_ = start_serving({.program = program,
                             .fuse_fd = options_.fuse_fd,
                             .state_fd = state_.get(),
                             .opens_fd = opens_.get(),
                             .presence_fd = options_.presence_fd,
                             .folder = options_.folder,
                             .store_root = options_.store_root,
                             .image = options_.image,
                             .mount = options_.mount,
                             .die_with_us = options_.die_together,
                             .upgrade_failure = upgrade_failure_},
                            cancel_);
    started_ = Clock::now();
    upgrade_failure_.clear();
  }

  /// False once the kernel has ended the connection, by an unmount above all.
  bool mounted() const {
    pollfd p{options_.fuse_fd, POLLIN, 0};
    return ::poll(&p, 1, 0) >= 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
  }

  /// Another server, and another, until one answers; one that does not start has had a short life, too.
  void revive(std::string reason) {
    require_resend("the image server died (" + reason + ")");
    const auto died = Clock::now();
    if (died - started_ >= long_life) short_lives_ = 0;
    for (;;) {
      pause(reason);
      try {
        start_server(own_program);
        log::warn("the image server died ({}); another one serves on after {} ms", reason,
                  std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - died).count());
        return;
      } catch (const Error& e) {
        cancel_.check();
        if (!mounted()) throw;
        reason = e.message();
      }
    }
  }

  void pause(const std::string& reason) {
    if (++short_lives_ > most_short_lives)
      throw Error("the image server died " + std::to_string(short_lives_) +
                  " times in a row, the last time: " + reason + "; gave up, readers of " +
                  options_.folder.string() + " get ENOTCONN");
    if (short_lives_ <= free_restarts) return;
    const auto wait = std::min(longest_pause, first_pause * (1U << (short_lives_ - free_restarts - 1)));
    pollfd p{cancel_.fd(), POLLIN, 0};
    ::poll(&p, 1, static_cast<int>(wait.count()));
    cancel_.check();
  }

  void upgrade() {
    signalfd_siginfo info{};
    while (::read(hangups_, &info, sizeof info) > 0) continue;
    const std::string program = program_path();
    server_.kill(SIGHUP);
    const ExitState exit = server_.wait();
    if (!mounted()) return;
    try {
      start_server(program);
      log::warn("{} serves on", program);
    } catch (const Error& e) {
      cancel_.check();
      upgrade_failure_ = program + " cannot take over: " + e.message();
      revive("drained with " + exit.text() + ", but " + upgrade_failure_);
    }
  }

  void end() {
    try {
      if (is_image_mount(options_.folder)) unmount_image(options_.folder);
    } catch (const Error& e) {
      log::warn("{}", e.what());
    }
    server_.kill(SIGTERM);
    server_.wait();
  }

  const KeepOptions& options_;
  const int hangups_;
  const CancelToken& cancel_;
  const Fd state_;
  const Fd opens_;
  Child server_;
  std::optional<MountUsers> users_;
  Clock::time_point started_;
  unsigned short_lives_ = 0;
  std::string upgrade_failure_;  // of which nobody knows yet
};

}  // namespace

void keep_image(const KeepOptions& options, int hangups, const CancelToken& cancel,
                const std::function<void()>& ready) {
  Keeper keeper(options, hangups, cancel);
  keeper.start();
  ready();
  keeper.run();
}

}  // namespace coldstart
