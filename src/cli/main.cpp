// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdlib>
#include <iostream>

#include <fcntl.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/app.h"
#include "cli/output.h"
#include "commands/cuda_checkpoint.h"

namespace {

coldstart::CancelToken* token = nullptr;

extern "C" void on_signal(int signal) {
  token->cancel(signal);
}

void cancel_on_signals(coldstart::CancelToken& cancel) {
  token = &cancel;
  struct sigaction action {};
  action.sa_handler = on_signal;  // no SA_RESTART: what waits must wake up
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

/// A standard descriptor that we were started without must not become some file of ours. The stand-in for
/// stdout cannot be written, so that lost output is an error.
void open_missing_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0) ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
}

}  // namespace

int main(int argc, char** argv) {
  open_missing_descriptors();
  const bool out_terminal = ::isatty(STDOUT_FILENO) == 1;
  const bool err_terminal = ::isatty(STDERR_FILENO) == 1;
  const bool colour = std::getenv("NO_COLOR") == nullptr;
  coldstart::CancelToken cancel;
  coldstart::OutputStream out(STDOUT_FILENO, cancel);
  coldstart::Console console(out, std::cerr, {out_terminal, err_terminal, colour});
  auto logger = spdlog::stderr_color_mt("coldstart");
  logger->set_pattern("coldstart: %^%l:%$ %v");
  spdlog::set_default_logger(std::move(logger));
  cancel_on_signals(cancel);
  if (argc > 0 && coldstart::is_cuda_checkpoint(argv[0]))
    return coldstart::run_cuda_checkpoint({argv + 1, argv + argc}, out, std::cerr);
  ::prctl(PR_SET_NAME, "coldstart");  // our own processes are started as /proc/self/exe: top would say "exe"
  return coldstart::run_app({argv + 1, argv + argc}, console, cancel);
}
