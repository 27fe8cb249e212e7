// SPDX-License-Identifier: Apache-2.0
#include "box.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

void must(bool ok, const char* what) {
  if (!ok) {
    ::perror(what);
    ::_exit(126);
  }
}

void loopback_up() {
  const Fd s(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  must(::ioctl(s.get(), SIOCSIFFLAGS, &request) == 0, "lo");
}

void enter_root(const fs::path& lower, const fs::path& scratch) {
  must(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private");
  const fs::path root = scratch / "root";
  for (const char* name : {"upper", "work", "root"}) fs::create_directory(scratch / name);
  const std::string options = "lowerdir=" + lower.string() + ",upperdir=" + (scratch / "upper").string() +
                              ",workdir=" + (scratch / "work").string();
  must(::mount("overlay", root.c_str(), "overlay", 0, options.c_str()) == 0, "overlay");
  must(::mount("proc", (root / "proc").c_str(), "proc", 0, nullptr) == 0, "proc");
  must(::mount("tmpfs", (root / "dev").c_str(), "tmpfs", 0, nullptr) == 0, "dev");
  for (const char* name : {"null", "zero", "random", "urandom"}) {
    const fs::path device = fs::path("/dev") / name;
    const Fd point = open_file(root.string() + device.string(), O_WRONLY | O_CREAT);
    must(::mount(device.c_str(), (root.string() + device.string()).c_str(), nullptr, MS_BIND, nullptr) == 0,
         "bind");
  }
  must(::chdir(root.c_str()) == 0, "chdir");
  must(::syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  must(::umount2(".", MNT_DETACH) == 0, "umount");
  must(::chdir("/") == 0, "chdir");
}

pid_t clone_process(uint64_t flags, const pid_t* pid) {
  clone_args args{};
  args.flags = flags;
  args.exit_signal = SIGCHLD;
  if (pid != nullptr) {
    args.set_tid = reinterpret_cast<uint64_t>(pid);
    args.set_tid_size = 1;
  }
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

[[noreturn]] void run_inside(const ProgramSpec& spec, int net, int mnt) {
  must(::setns(net, CLONE_NEWNET) == 0, "net");
  must(::setns(mnt, CLONE_NEWNS) == 0, "mnt");
  ::setsid();
  std::vector<int> moved;
  for (const auto& fd : spec.fds) moved.push_back(::fcntl(fd.first, F_DUPFD_CLOEXEC, 100));
  ::syscall(SYS_close_range, 3, ~0U, 4U);
  for (size_t i = 0; i < moved.size(); ++i) must(::dup2(moved[i], spec.fds[i].second) >= 0, "dup2");
  must(::chdir(spec.folder.c_str()) == 0, "chdir");
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (const auto& word : spec.argv) argv.push_back(const_cast<char*>(word.c_str()));
  for (const auto& word : spec.environment) envp.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  ::execvpe(argv[0], argv.data(), envp.data());
  must(false, argv[0]);
  std::abort();
}

Fd namespace_of(pid_t pid, const char* kind) {
  return open_file("/proc/" + std::to_string(pid) + "/ns/" + kind, O_RDONLY);
}

std::string request(int port, const std::string& path) {
  const Fd s(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{5, 0};
  ::setsockopt(s.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(s.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return {};
  write_full(s.get(), as_bytes("GET " + path + " HTTP/1.0\r\n\r\n"));
  std::string answer;
  std::array<char, 4096> part{};
  for (ssize_t n = 0; (n = ::read(s.get(), part.data(), part.size())) > 0;)
    answer.append(part.data(), static_cast<size_t>(n));
  const size_t body = answer.find("\r\n\r\n");
  return body == std::string::npos ? "" : answer.substr(body + 4);
}

}  // namespace

Box::Box(const fs::path& lower) : scratch_("/var/tmp", "coldstart-criu-") {
  Pipe ready = make_pipe();
  const pid_t pid = clone_process(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET, nullptr);
  check(pid, "cannot make a box");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    enter_root(lower, scratch_.path());
    loopback_up();
    must(::write(ready.write.get(), "r", 1) == 1, "ready");
    ::syscall(SYS_close_range, 3, ~0U, 0U);
    ::signal(SIGCHLD, SIG_IGN);  // reaps
    for (;;) ::pause();
  }
  init_ = Child(pid);
  ready.write.reset();
  std::byte byte{};
  if (read_full(ready.read.get(), {&byte, 1}) != 1) throw Error("no box");
}

Child Box::start(const ProgramSpec& spec) const {
  const Fd ours = namespace_of(::getpid(), "pid");
  const Fd theirs = namespace_of(init(), "pid");
  const Fd net = namespace_of(init(), "net");
  const Fd mnt = namespace_of(init(), "mnt");
  Pipe executed = make_pipe();
  check(::setns(theirs.get(), CLONE_NEWPID), "cannot enter a box");
  const pid_t pid = clone_process(0, spec.pid_inside != 0 ? &spec.pid_inside : nullptr);
  if (pid == 0) run_inside(spec, net.get(), mnt.get());
  const int error = errno;
  check(::setns(ours.get(), CLONE_NEWPID), "cannot leave a box");
  if (pid < 0) throw Error::sys(error, "cannot start in a box");
  Child child(pid);
  executed.write.reset();
  std::byte byte{};
  read_full(executed.read.get(), {&byte, 1});  // ends with exec
  return child;
}

std::string Box::ask(int port, const std::string& path) const {
  std::string answer;
  std::thread([&] {  // of its own: it stays in the network namespace
    if (::setns(namespace_of(init(), "net").get(), CLONE_NEWNET) == 0) answer = request(port, path);
  })
      .join();
  return answer;
}

std::string Box::ask_until_ready(int port, const std::string& path) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::string answer;
  while (answer.empty() && std::chrono::steady_clock::now() < deadline) {
    answer = ask(port, path);
    if (answer.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return answer;
}

fs::path Box::inside(const std::string& path) const {
  return "/proc/" + std::to_string(init()) + "/root" + path;
}

pid_t Box::pid_inside(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  std::string line;
  while (std::getline(in, line) && !line.starts_with("NSpid:")) {
  }
  std::istringstream numbers(line.substr(line.find(':') + 1));
  pid_t last = 0;
  for (pid_t n = 0; numbers >> n;) last = n;
  return last;
}
