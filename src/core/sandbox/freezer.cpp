// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/freezer.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <optional>
#include <set>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/control_group.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/process_tree.h"

namespace coldstart {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds patience(5);

void write_word(int fd, const std::string& word) {
  if (::write(fd, word.data(), word.size()) < 0) throw Error::sys("cannot write to a control group");
}

bool says_frozen(int events) {
  char text[256];
  const ssize_t n = ::pread(events, text, sizeof text, 0);
  return n > 0 && std::string_view(text, static_cast<size_t>(n)).find("frozen 1") != std::string_view::npos;
}

/// Of a process that was sent SIGSTOP. One that waits in the kernel for what cannot be interrupted (D: a
/// disk, or, after vfork, a child that is stopped itself) takes no step of its own before it stops.
bool is_stopped(pid_t pid) {
  const std::string state = status_field(pid, "State");
  return state.empty() || std::string_view("TtZXD").find(state[0]) != std::string_view::npos;
}

/// Of one that has ended and only waits for its parent: a control group takes it, but does not list it.
bool has_ended(pid_t pid) {
  const std::string state = status_field(pid, "State");
  return state.empty() || state[0] == 'Z' || state[0] == 'X';
}

void send(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0 && errno != ESRCH)
    throw Error::sys("cannot signal a process");
}

}  // namespace

Freezer::Freezer(std::vector<pid_t> roots, std::string name, Means means)
    : roots_(std::move(roots)), name_(std::move(name)) {
  if (means == Means::automatic && !make_group()) log::debug("no control group: freezing by SIGSTOP");
}

Freezer::~Freezer() {
  try {
    thaw();
  } catch (const Error& e) {
    log::warn("{}", e.message());
  }
  if (!group_.empty() && ::rmdir(group_.c_str()) != 0 && errno != ENOENT)
    log::debug("the control group {} stays: it is in use", group_.string());
}

bool Freezer::make_group() {
  const auto parent = own_control_group();
  if (!parent) return false;
  const fs::path group = parent->folder / name_;
  if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST) return false;
  group_ = group;
  try {
    procs_file_ = open_file(group / "cgroup.procs", O_WRONLY);
    events_file_ = open_file(group / "cgroup.events", O_RDONLY);
    freeze_file_ = open_file(group / "cgroup.freeze", O_WRONLY);
    take_in();
  } catch (const Error& e) {
    log::debug("the control group {} is of no use: {}", group.string(), e.message());
    freeze_file_.reset();
  }
  return static_cast<bool>(freeze_file_);
}

std::vector<pid_t> Freezer::processes() const {
  std::vector<pid_t> all;
  for (const pid_t root : roots_) {
    const std::vector<pid_t> tree = process_tree(root);
    all.insert(all.end(), tree.begin(), tree.end());
  }
  return all;
}

bool Freezer::take_in() {
  std::set<pid_t> there;
  std::ifstream in(group_ / "cgroup.procs");
  for (pid_t pid = 0; in >> pid;) there.insert(pid);
  bool found = false;
  for (const pid_t pid : processes()) {
    if (there.contains(pid) || has_ended(pid)) continue;
    const std::string text = std::to_string(pid);
    if (::write(procs_file_.get(), text.data(), text.size()) >= 0)
      found = true;
    else if (errno != ESRCH)  // it ended meanwhile
      throw Error::sys("cannot move a process to a control group");
  }
  return found;
}

void Freezer::freeze_group() {
  const auto deadline = Clock::now() + patience;
  while (take_in() && Clock::now() < deadline) continue;  // children of what is in it are in it from birth
  write_word(freeze_file_.get(), "1");
  while (!says_frozen(events_file_.get())) {
    if (Clock::now() > deadline) {
      write_word(freeze_file_.get(), "0");
      throw Error("the processes could not be frozen within 5 s",
                  "one of them waits for a disk or a network");
    }
    pollfd p{events_file_.get(), POLLPRI, 0};
    if (::poll(&p, 1, 5) < 0 && errno != EINTR) throw Error::sys("cannot poll");
  }
}

/// Until a look at all of them finds none that runs: one that was not yet stopped may have made another.
void Freezer::stop_all() {
  const auto deadline = Clock::now() + patience;
  std::set<pid_t> seen;
  for (bool running = true; running;) {
    running = false;
    for (const pid_t pid : processes()) {
      if (seen.insert(pid).second) {
        Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
        if (!pidfd) continue;
        send(pidfd.get(), SIGSTOP);
        stopped_.push_back(std::move(pidfd));
        running = true;
      } else if (!is_stopped(pid)) {
        running = true;
      }
    }
    if (running && Clock::now() > deadline) {
      frozen_ = true;
      thaw();
      throw Error("the processes could not be stopped within 5 s");
    }
    if (running) ::poll(nullptr, 0, 1);
  }
}

void Freezer::freeze() {
  if (frozen_) return;
  if (freeze_file_)
    freeze_group();
  else
    stop_all();
  frozen_ = true;
}

void Freezer::thaw() {
  if (!frozen_) return;
  if (freeze_file_) {
    write_word(freeze_file_.get(), "0");
  } else {
    for (const Fd& pidfd : stopped_) send(pidfd.get(), SIGCONT);
    stopped_.clear();
  }
  frozen_ = false;
}

void Freezer::remove_group(const std::string& name) noexcept {
  try {
    const auto parent = own_control_group();
    if (!parent) return;
    // What a killed supervisor leaves is killed by the kernel, and takes a moment to be gone.
    for (int tries = 0; tries < 100 && ::rmdir((parent->folder / name).c_str()) != 0 && errno == EBUSY;
         ++tries)
      ::poll(nullptr, 0, 20);
  } catch (const std::exception& e) {
    log::debug("cannot remove the control group {}: {}", name, e.what());
  }
}

}  // namespace coldstart
