// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdlib>
#include <iostream>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "cli/app.h"

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

}  // namespace

int main(int argc, char** argv) {
  const bool out_terminal = ::isatty(STDOUT_FILENO) == 1;
  const bool err_terminal = ::isatty(STDERR_FILENO) == 1;
  const bool colour = std::getenv("NO_COLOR") == nullptr;
  coldstart::Console console(std::cout, std::cerr, {out_terminal, err_terminal, colour});
  auto logger = spdlog::stderr_color_mt("coldstart");
  logger->set_pattern("coldstart: %^%l:%$ %v");
  spdlog::set_default_logger(std::move(logger));
  coldstart::CancelToken cancel;
  cancel_on_signals(cancel);
  return coldstart::run_app({argv + 1, argv + argc}, console, cancel);
}
