// SPDX-License-Identifier: Apache-2.0
#include "core/memory/guardian.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/subprocess.h"
#include "core/memory/family.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

pid_t pid_of(int pidfd) {
  // "Pid:" of fdinfo; -1 once it has been reaped.
  Fd info(::open(("/proc/self/fdinfo/" + std::to_string(pidfd)).c_str(), O_RDONLY | O_CLOEXEC));
  char text[1024] = {};
  if (!info || ::read(info.get(), text, sizeof text - 1) <= 0) return -1;
  const char* at = std::strstr(text, "Pid:");
  return at == nullptr ? -1 : std::atoi(at + 4);
}

struct Held {
  Family family;
  std::vector<int> userfaults;
};

/// What is in the table of descriptors, but for the server and ourselves.
void take_hold(Held& result, pid_t server) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd", error)) {
    const std::string what = fs::read_symlink(entry.path(), error).string();
    const int fd = std::atoi(entry.path().filename().c_str());
    if (what == "anon_inode:[userfaultfd]") result.userfaults.push_back(fd);
    // In its own file system since Linux 6.9.
    if (what != "anon_inode:[pidfd]" && !what.starts_with("pidfd:")) continue;
    const pid_t pid = pid_of(fd);
    if (pid > 0 && pid != ::getpid() && pid != server) result.family.adopt(pid, Fd(fd));
  }
}

/// False once the process behind it is gone: zeroing nothing at all is refused for another reason.
bool memory_lives(int userfault) {
  uffdio_zeropage nothing{};
  nothing.range = {0, 4096};
  return ::ioctl(userfault, UFFDIO_ZEROPAGE, &nothing) == 0 || errno != ESRCH;
}

[[noreturn]] void guard(int server_pidfd, pid_t server) {
  ::prctl(PR_SET_NAME, "coldstart-guard");
  ::setsid();  // a Ctrl-C is for the server
  sigset_t every;
  sigfillset(&every);
  ::sigprocmask(SIG_SETMASK, &every, nullptr);
  pollfd p{server_pidfd, POLLIN, 0};
  while (::poll(&p, 1, -1) < 0 && errno == EINTR) {
  }
  Held all;
  take_hold(all, server);
  // Who still lives is a child whose parents had ended before anybody saw it. It waits for a page that never
  // comes rather than to read zeros, so all there is to do is to hold on until someone ends it.
  for (unsigned round = 0;; ++round) {
    all.family.kill();
    bool alive = false;
    for (const int userfault : all.userfaults) alive = alive || memory_lives(userfault);
    if (!alive) ::_exit(0);
    ::poll(nullptr, 0, round < 100 ? 1 : 100);
  }
}

}  // namespace

Guardian::Guardian() : server_(open_pidfd(::getpid())) {
  const pid_t server = ::getpid();
  pid_ = check(
      static_cast<pid_t>(::syscall(SYS_clone, CLONE_FILES | SIGCHLD, nullptr, nullptr, nullptr, nullptr)),
      "cannot start the guardian");
  if (pid_ == 0) guard(server_.get(), server);
  pidfd_ = open_pidfd(pid_);
}

Guardian::~Guardian() {
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace coldstart
