// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/enter.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/exec_plan.h"
#include "core/sandbox/user.h"

namespace coldstart {

namespace {

/// What the helper tells.
struct Cloned {
  pid_t pid = 0;
  int error = 0;
  bool entered = false;
};

constexpr int all_namespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

[[noreturn]] void helper_main(const CloneRequest& request, const std::function<void()>& body, int tell) {
  Cloned result;
  if (request.namespaces >= 0 && ::setns(request.namespaces, all_namespaces) != 0) {
    result.error = errno;
  } else {
    result.entered = true;
    clone_args arguments{};
    arguments.flags = request.flags | CLONE_PARENT;
    if (request.pid_inside != 0) {
      arguments.set_tid = reinterpret_cast<uint64_t>(&request.pid_inside);
      arguments.set_tid_size = 1;
    }
    const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) {
      ::close(tell);
      body();
      ::_exit(127);
    }
    result.pid = static_cast<pid_t>(pid);
    if (pid < 0) result.error = errno;
  }
  [[maybe_unused]] const ssize_t n = ::write(tell, &result, sizeof result);
  ::_exit(0);
}

Error clone_failure(const CloneRequest& request, const Cloned& result) {
  if (!result.entered && result.error == ESRCH) return Error("it has ended").in("cannot enter the replica");
  if (!result.entered)
    return Error::sys(result.error, "cannot enter namespaces", "this needs root",
                      result.error == EPERM ? Exit::missing : Exit::failed);
  if (result.error == EEXIST)
    return Error("the pid " + std::to_string(request.pid_inside) + " is taken inside");
  if (result.error == EPERM)
    return Error::sys(result.error, "cannot make namespaces", "this needs root", Exit::missing);
  return Error::sys(result.error, "cannot start a process inside");
}

Error exec_failure(const ProgramSpec& program, const ExecPlan::Failure& failure) {
  const std::string name = program.argv[0];
  switch (failure.step) {
    case ExecPlan::Step::session:
      return Error::sys(failure.error, "cannot make a session for " + name);
    case ExecPlan::Step::descriptors:
      return Error::sys(failure.error, "cannot hand descriptors to " + name);
    case ExecPlan::Step::user:
      return Error::sys(failure.error, "cannot run " + name + " as the user " + program.user);
    case ExecPlan::Step::folder:
      return Error::sys(failure.error, "cannot change to the folder " + program.folder + " inside", {},
                        Exit::cannot_execute);
    case ExecPlan::Step::exec:
      break;
  }
  if (failure.error == ENOENT) return Error(name + ": no such program inside", {}, Exit::no_program);
  if (failure.error == ENOEXEC)
    return Error(
        name + " cannot be executed",
        "it is there, but no program for this machine, or its interpreter or loader is missing inside",
        Exit::cannot_execute);
  return Error::sys(failure.error, "cannot execute " + name, {}, Exit::cannot_execute);
}

/// What must be looked up inside is looked up here, before there is a child.
ExecPlan plan_for(pid_t pid, const ProgramSpec& program) {
  std::vector<std::string> environment = program.environment;
  std::optional<RunAs> who;
  if (!program.user.empty() || program.make_folder) {
    const Fd root = open_file("/proc/" + std::to_string(pid) + "/root", O_PATH | O_DIRECTORY);
    if (!program.user.empty()) {
      const Identity identity = resolve_user(root.get(), program.user);
      who = identity.ids;
      const auto is_home = [](const std::string& variable) { return variable.starts_with("HOME="); };
      if (std::none_of(environment.begin(), environment.end(), is_home))
        environment.push_back("HOME=" + identity.home);
    }
    if (program.make_folder) make_folder_inside(root.get(), program.folder);
  }
  ExecPlan plan(program.argv, std::move(environment), program.fds, program.folder, program.new_session);
  if (who) plan.run_as(*who);
  return plan;
}

/// Until it is, or throws if it is cancelled first.
void wait_readable(const Fd& fd, const CancelToken& cancel) {
  std::array<pollfd, 2> polls{{{fd.get(), POLLIN, 0}, {cancel.fd(), POLLIN, 0}}};
  while (polls[0].revents == 0) {
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) throw Error::sys("cannot poll");
    cancel.check();
  }
}

}  // namespace

Child clone_as_child(const CloneRequest& request, const std::function<void()>& body) {
  Pipe pipe = make_pipe();
  const pid_t helper = check(::fork(), "cannot start a process");
  if (helper == 0) helper_main(request, body, pipe.write.get());
  pipe.write.reset();
  Cloned result;
  const size_t got = read_full(pipe.read.get(), std::as_writable_bytes(std::span(&result, 1)));
  while (::waitpid(helper, nullptr, 0) < 0)
    if (errno != EINTR) throw Error::sys("cannot wait for a helper process");
  if (got != sizeof result) throw Error("a helper process died while it entered the sandbox");
  if (result.error != 0) throw clone_failure(request, result);
  return Child(result.pid);
}

Child start_in_namespaces(pid_t pid, int pidfd, const ProgramSpec& program, const CancelToken* cancel) {
  if (program.argv.empty()) throw Error::usage("no command given");
  ExecPlan plan = plan_for(pid, program);
  Pipe errors = make_pipe();
  Fd error_end(check(::fcntl(errors.write.get(), F_DUPFD_CLOEXEC, plan.first_free_fd()),
                     "cannot duplicate a descriptor"));
  Child child = clone_as_child({.namespaces = pidfd, .pid_inside = program.pid_inside}, [&] {
    ::umask(022);
    const ExecPlan::Failure failure = plan.run();
    [[maybe_unused]] const ssize_t n = ::write(error_end.get(), &failure, sizeof failure);
  });
  errors.write.reset();
  error_end.reset();
  if (cancel != nullptr) wait_readable(errors.read, *cancel);
  ExecPlan::Failure failure{};
  if (read_full(errors.read.get(), std::as_writable_bytes(std::span(&failure, 1))) == sizeof failure) {
    child.wait();
    throw exec_failure(program, failure);
  }
  return child;
}

}  // namespace coldstart
