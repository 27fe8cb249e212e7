// SPDX-License-Identifier: Apache-2.0
#include "core/memory/family.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <vector>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/process_tree.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

bool ended(const Fd& pidfd) {
  pollfd p{pidfd.get(), POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

// A stop takes effect within microseconds, but on a busy machine a thread in the middle of a fork may wait
// for its turn.
constexpr int most_stop_rounds = 500;  // of a millisecond

/// Whether a thread of it may still do something: it is neither stopped nor in a wait that only a kill ends
/// (as for the page server to take note of a fork, which a kill undoes).
bool moves(pid_t pid) {
  std::error_code gone;
  for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
    std::ifstream in(task.path() / "stat");
    std::string line;
    if (!std::getline(in, line)) continue;
    const size_t name_end = line.rfind(')');
    if (name_end != std::string::npos && line.find_first_of("RS", name_end) == name_end + 2) return true;
  }
  return false;
}

}  // namespace

Family::Family() : ended_(check(::epoll_create1(EPOLL_CLOEXEC), "cannot make an epoll")) {}

void Family::add(pid_t pid) {
  const std::lock_guard lock(mutex_);
  add_locked(pid);
}

void Family::adopt(pid_t pid, Fd pidfd) {
  const std::lock_guard lock(mutex_);
  hold_locked(pid, std::move(pidfd));
}

void Family::hold_locked(pid_t pid, Fd pidfd) {
  // A descriptor that is closed leaves the epoll by itself, unless a copy of it is open elsewhere: then it
  // only wakes us once more.
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(ended_.get(), EPOLL_CTL_ADD, pidfd.get(), &event) != 0 && errno != EEXIST)
    throw Error::sys("cannot watch the restored process " + std::to_string(pid));
  members_.insert_or_assign(pid, std::move(pidfd));
}

void Family::remove(pid_t pid) {
  const std::lock_guard lock(mutex_);
  members_.erase(pid);
}

void Family::add_locked(pid_t pid) {
  if (members_.contains(pid)) return;
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (pidfd)
    hold_locked(pid, std::move(pidfd));
  else if (errno != ESRCH && errno != EINVAL)  // EINVAL: it has just ended
    throw Error::sys("cannot watch the restored process " + std::to_string(pid));
}

void Family::refresh() {
  const std::lock_guard lock(mutex_);
  refresh_locked();
}

void Family::refresh_locked() {
  std::vector<pid_t> look;
  for (const auto& [pid, pidfd] : members_) look.push_back(pid);
  while (!look.empty()) {
    const pid_t pid = look.back();
    look.pop_back();
    for (const pid_t child : children_of(pid)) {
      if (members_.contains(child)) continue;
      add_locked(child);
      look.push_back(child);
    }
  }
  std::erase_if(members_, [](const auto& member) { return ended(member.second); });
}

void Family::signal_locked(int signal) const {
  for (const auto& [pid, pidfd] : members_) ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

/// Stops all, so that none forks a child that nobody would see once its parent is gone.
void Family::stop_locked() {
  size_t known = 0;
  for (int round = 0; round < most_stop_rounds; ++round) {
    signal_locked(SIGSTOP);
    refresh_locked();
    const bool moving =
        std::any_of(members_.begin(), members_.end(), [](const auto& m) { return moves(m.first); });
    if (members_.size() == known && !moving) return;
    known = members_.size();
    ::poll(nullptr, 0, 1);
  }
}

void Family::kill() {
  const std::lock_guard lock(mutex_);
  for (;;) {
    refresh_locked();
    if (members_.empty()) return;
    stop_locked();
    signal_locked(SIGKILL);
    for (const auto& [pid, pidfd] : members_) {
      pollfd p{pidfd.get(), POLLIN, 0};
      while (::poll(&p, 1, -1) < 0 && errno == EINTR) {
      }
    }
  }
}

size_t Family::size() const {
  const std::lock_guard lock(mutex_);
  return members_.size();
}

}  // namespace coldstart
