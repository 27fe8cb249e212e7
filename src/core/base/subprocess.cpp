// SPDX-License-Identifier: Apache-2.0
#include "core/base/subprocess.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/capture.h"
#include "core/base/error.h"
#include "core/base/exec_plan.h"
#include "core/base/files.h"

namespace coldstart {

namespace {

using Clock = std::chrono::steady_clock;

/// `errors` gets the errno if there is no way to exec.
[[noreturn]] void child_main(ExecPlan& plan, bool die_with_us, pid_t parent, int errors) {
  if (die_with_us) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
  }
  const ExecPlan::Failure failure = plan.run();
  [[maybe_unused]] const ssize_t n = ::write(errors, &failure.error, sizeof failure.error);
  ::_exit(127);
}

}  // namespace

std::string ExitState::text() const {
  return signal != 0 ? "killed by signal " + std::to_string(signal) : "exit status " + std::to_string(code);
}

ExitState exit_state_of(int wait_status) {
  if (WIFSIGNALED(wait_status)) return {0, WTERMSIG(wait_status)};
  return {WEXITSTATUS(wait_status), 0};
}

Child::Child(const SpawnOptions& options) {
  if (options.argv.empty()) throw Error::usage("no command given");
  ExecPlan plan(options.argv, options.environment, options.fds, options.folder, options.new_session);
  Pipe errors = make_pipe();
  // The error pipe must stay clear of the numbers the child asks for.
  Fd error_end(check(::fcntl(errors.write.get(), F_DUPFD_CLOEXEC, plan.first_free_fd()),
                     "cannot duplicate a descriptor"));
  const pid_t parent = ::getpid();
  pid_ = check(::fork(), "cannot start a process");
  if (pid_ == 0) child_main(plan, options.die_with_us, parent, error_end.get());
  errors.write.reset();
  error_end.reset();
  pidfd_ = open_pidfd(pid_);
  int error = 0;
  if (read_full(errors.read.get(), std::as_writable_bytes(std::span(&error, 1))) == sizeof error) {
    wait();
    const Exit exit = error == ENOENT ? Exit::missing : Exit::failed;
    throw Error::sys(error, "cannot run " + options.argv[0], {}, exit);
  }
}

Child::Child(pid_t pid) : pid_(pid), pidfd_(open_pidfd(pid)) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

void Child::kill(int signal) {
  if (pid_ <= 0) return;
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) != 0 && errno != ESRCH)
    throw Error::sys("cannot signal process " + std::to_string(pid_));
}

ExitState Child::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0)
    if (errno != EINTR) throw Error::sys("cannot wait for process " + std::to_string(pid_));
  pid_ = -1;
  pidfd_.reset();
  return exit_state_of(status);
}

std::optional<ExitState> Child::wait_for(std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd p{pidfd_.get(), POLLIN, 0};
    const int n = ::poll(&p, 1, static_cast<int>(std::max<long>(0, left)));
    if (n > 0) return wait();
    if (n == 0) return std::nullopt;
    if (errno != EINTR) throw Error::sys("cannot poll a process");
  }
}

pid_t Child::release() {
  pidfd_.reset();
  return std::exchange(pid_, -1);
}

void Child::end() noexcept {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

Output run_program(const std::vector<std::string>& argv, std::chrono::milliseconds timeout, size_t limit) {
  const auto start = [&](const FdPairs& fds) {
    SpawnOptions options;
    options.argv = argv;
    options.fds = fds;
    return Child(options);
  };
  return run_to_end(argv[0], start, timeout, nullptr, limit);
}

Fd open_pidfd(pid_t pid) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) throw Error::sys("cannot watch process " + std::to_string(pid));
  return fd;
}

uint64_t start_time_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(in, line)) return 0;
  // The name in parentheses may hold spaces and parentheses: count fields from the last ')'.
  const size_t close = line.rfind(')');
  if (close == std::string::npos) return 0;
  std::istringstream rest(line.substr(close + 1));
  std::string word;
  for (int number = 3; rest >> word; ++number)
    if (number == 22) return std::stoull(word);
  return 0;
}

}  // namespace coldstart
