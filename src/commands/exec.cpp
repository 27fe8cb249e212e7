// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <csignal>

#include <poll.h>
#include <unistd.h>

#include "commands/commands.h"
#include "core/sandbox/replica.h"
#include "core/sandbox/sandbox.h"
#include "core/sandbox/supervisor.h"

namespace coldstart {

namespace {

struct Options {
  std::string which;
  std::vector<std::string> environment;
  std::string folder;
};

void exec(Session& session, const Options& options) {
  if (session.program.empty())
    throw Error::usage("no command was given", "put it at the end: -- COMMAND ARGUMENT…");
  const Replica replica = Replicas(session.store_root).find_running(options.which);
  ProgramSpec program;
  program.argv = session.program;
  program.environment = replica.environment;
  program.environment.insert(program.environment.end(), options.environment.begin(),
                             options.environment.end());
  program.environment = program_environment(program.environment);
  program.folder = options.folder.empty() ? replica.folder : options.folder;
  program.fds = {{0, 0}, {1, 1}, {2, 2}};
  program.new_session = false;  // a terminal stays a terminal, with its Ctrl-C
  session.console.flush();
  Child child = start_in_namespaces_of(replica.pid, program);
  pollfd polls[2] = {{child.pidfd(), POLLIN, 0}, {session.cancel.fd(), POLLIN, 0}};
  while (::poll(polls, 2, -1) < 0)
    if (errno != EINTR) throw Error::sys("cannot wait");
  // A Ctrl-C reaches it without us, from the terminal that we share.
  const int signal = session.cancel.signal();
  if (signal == SIGTERM || (signal == SIGINT && ::isatty(STDIN_FILENO) == 0)) child.kill(signal);
  session.exit_status = child.wait().status();
}

}  // namespace

void add_exec(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("exec", "Run one more command in a replica");
  command->footer(
      "Examples:\n"
      "  coldstart exec server -- ps aux");
  command->add_option("replica", options->which, "Id or name")->required()->type_name("REPLICA");
  command->add_option("-e,--env", options->environment, "Environment variable of the program (repeatable)")
      ->type_name("NAME=VALUE")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("-w,--workdir", options->folder, "Working folder inside")->type_name("DIR");
  session.takes_program(command);
  command->callback([&session, options] { exec(session, *options); });
}

}  // namespace coldstart
