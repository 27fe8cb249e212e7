// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"
#include "commands/replica_options.h"
#include "core/store/store.h"

namespace coldstart {

namespace {

struct Options {
  ReplicaOptions replica;
  bool detach = false;
};

void run(Session& session, const Options& options) {
  ReplicaSpec spec = options.replica.spec(session, session.program);
  spec.stdin_from_caller = spec.output_to_caller = !options.detach;
  Replicas replicas(session.store()->root());
  ReplicaFront front(replicas, spec);
  front.wait_ready(session.cancel, [&](const std::string& name, auto start, double seconds, auto) {
    session.timeline.add(name, start, seconds);
  });
  if (!options.detach) {
    session.exit_status = attend(front);
    return;
  }
  front.detach();
  session.console.line(front.id());
  session.console.result({{"id", front.id()}, {"pid", front.pid()}});
}

}  // namespace

void add_run(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("run", "Run a command in an image, or on the host's own root");
  command->footer(
      "Examples:\n"
      "  coldstart run llm:v1 -- python3 --version\n"
      "  coldstart run llm:v1 -d --name server -e PORT=8000 -- python3 /srv/serve.py");
  options->replica.add_root(*command);
  command->add_flag("-d,--detach", options->detach, "Return once it runs; see ps, logs, stop, exec");
  options->replica.add_place(*command);
  session.takes_program(command);
  command->callback([&session, options] { run(session, *options); });
}

}  // namespace coldstart
