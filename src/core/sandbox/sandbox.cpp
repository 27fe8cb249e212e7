// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/sandbox.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/sandbox/enter.h"
#include "core/sandbox/root.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

bool readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) > 0;
}

/// Pid 1 of the sandbox, after its root is made. SIGCHLD ignored means that the kernel reaps at once
/// whatever becomes ours, so there is nothing left to do.
[[noreturn]] void be_init() {
  ::syscall(SYS_close_range, 0, ~0U, 0);
  // Programs inside may read /proc/1/environ; the supervisor's is none of their business.
  for (char** variable = environ; *variable != nullptr; ++variable)
    std::memset(*variable, 0, std::strlen(*variable));
  std::signal(SIGCHLD, SIG_IGN);
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  for (;;) ::pause();
}

/// In the clone. `creator` is a pidfd of the process that made the sandbox.
[[noreturn]] void init_main(const SandboxOptions& options, int creator, int tell) {
  for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (readable(creator)) ::_exit(1);
  ::prctl(PR_SET_NAME, "coldstart-init");
  std::string failure;
  try {
    enter_root(options);
  } catch (const Error& e) {
    failure = to_json(e).dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  } catch (const std::exception& e) {
    failure = to_json(Error(e.what())).dump();
  }
  if (failure.empty()) failure = "{}";
  [[maybe_unused]] const ssize_t n = ::write(tell, failure.data(), failure.size());
  if (failure != "{}") ::_exit(1);
  be_init();
}

}  // namespace

Sandbox::Sandbox(const SandboxOptions& options) : options_(options) {
  uint64_t flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
  if (options.net != Net::host) flags |= CLONE_NEWNET;
  const Fd self = open_pidfd(::getpid());
  Pipe answer = make_pipe();
  init_ = clone_as_child({.flags = flags}, [&] { init_main(options, self.get(), answer.write.get()); });
  answer.write.reset();
  Bytes text(size_t{64} << 10);
  text.resize(read_full(answer.read.get(), text));
  if (text.empty()) throw Error("the sandbox's first process died at once");
  const Json json = parse_json(as_text(text), "the first process's answer");
  if (!json.empty()) throw error_from_json(json, "the first process's answer").in("cannot make the sandbox");
}

Sandbox::Sandbox(Sandbox&&) noexcept = default;

Sandbox::~Sandbox() {
  if (!init_) return;
  try {
    init_.kill(SIGKILL);
    // Init goes last, once its namespace is empty; a process of `exec` whose caller does not reap it (it may
    // be stopped) must not hold us up for ever.
    if (init_.wait_for(std::chrono::seconds(5))) return;
    log::warn("a process that was started by 'exec' is still to be reaped by its caller");
  } catch (const Error& e) {
    log::warn("cannot end the sandbox: {}", e.message());
  }
  init_.release();
}

pid_t Sandbox::init_pid() const {
  return init_.pid();
}
int Sandbox::init_pidfd() const {
  return init_.pidfd();
}
fs::path Sandbox::root() const {
  return "/proc/" + std::to_string(init_.pid()) + "/root";
}
const SandboxOptions& Sandbox::options() const {
  return options_;
}
fs::path Sandbox::upper() const {
  return options_.root.lower.empty() ? fs::path() : options_.root.scratch / "upper";
}

Child Sandbox::start(const ProgramSpec& program, const CancelToken* cancel) {
  return start_in_namespaces(init_.pid(), init_.pidfd(), program, cancel);
}

pid_t Sandbox::pid_inside(pid_t host_pid) {
  std::ifstream in("/proc/" + std::to_string(host_pid) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("NSpid:")) continue;
    std::istringstream pids(line.substr(6));
    pid_t last = 0;
    for (pid_t pid = 0; pids >> pid;) last = pid;
    return last;
  }
  throw Error("there is no process " + std::to_string(host_pid));
}

pid_t Sandbox::pid_outside(pid_t pid_inside) const {
  const auto namespace_of = [](const std::string& pid) {
    struct stat st {};
    return ::stat(("/proc/" + pid + "/ns/pid").c_str(), &st) == 0 ? st.st_ino : 0;
  };
  const ino_t ours = namespace_of(std::to_string(init_.pid()));
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos || namespace_of(name) != ours) continue;
    const auto pid = static_cast<pid_t>(std::stol(name));
    try {
      if (Sandbox::pid_inside(pid) == pid_inside) return pid;
    } catch (const Error&) {
      continue;  // it ended meanwhile
    }
  }
  throw Error("there is no process " + std::to_string(pid_inside) + " inside");
}

Child start_in_namespaces_of(pid_t host_pid, const ProgramSpec& program) {
  const Fd target = open_pidfd(host_pid);
  return start_in_namespaces(host_pid, target.get(), program);
}

void own_mount_namespace() {
  if (::unshare(CLONE_NEWNS) != 0)
    throw Error::sys("cannot make a mount namespace", "run it as root",
                     errno == EPERM ? Exit::missing : Exit::failed);
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr), "cannot keep mounts to this process");
}

}  // namespace coldstart
