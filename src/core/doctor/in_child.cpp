// SPDX-License-Identifier: Apache-2.0
#include <csignal>

#include <sys/prctl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/subprocess.h"
#include "core/doctor/probes.h"

namespace coldstart {

namespace {

constexpr char separator = '\0';  // between what an Error says and its hint

[[noreturn]] void run_and_exit(const Probe& probe, int report) {
  int status = 0;
  std::string text;
  try {
    text = probe();
  } catch (const Error& e) {
    status = 1;
    text = e.message() + separator + e.hint();
  } catch (...) {
    status = 2;
  }
  try {
    write_full(report, as_bytes(text));
  } catch (...) {
    status = 2;
  }
  ::_exit(status);
}

}  // namespace

std::string in_child(const Probe& probe, std::chrono::seconds patience) {
  Pipe report = make_pipe();
  const pid_t parent = ::getpid();
  const pid_t pid = coldstart::check(::fork(), "cannot start a process");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(2);
    run_and_exit(probe, report.write.get());
  }
  Child child(pid);
  report.write.reset();
  const std::optional<ExitState> end = child.wait_for(patience);
  if (!end) throw Error("no answer within " + std::to_string(patience.count()) + " seconds");
  Bytes bytes(4096);  // a finding is one line; a pipe holds it, so the child has not waited for us
  bytes.resize(read_full(report.read.get(), bytes));
  std::string text(as_text(bytes));
  if (end->ok()) return text;
  if (end->signal != 0 || end->code != 1) throw Error("the try itself broke off");
  const size_t at = text.find(separator);
  throw Error(text.substr(0, at), text.substr(at + 1));
}

}  // namespace coldstart
