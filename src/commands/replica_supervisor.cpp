// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"
#include "core/pipeline/restore.h"
#include "core/sandbox/supervisor.h"

namespace coldstart {

namespace {

/// The launcher that the spec asks for.
std::unique_ptr<Launcher> make_launcher(const Json& launch) {
  const auto kind = field<std::string>(launch, "kind", "the replica's spec");
  if (kind == "program") return std::make_unique<ProgramLauncher>();
  if (kind == "restore") return std::make_unique<RestoreLauncher>();
  throw Error::corrupt("unknown kind of launcher: " + kind);
}

}  // namespace

void add_replica_supervisor(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("replica-supervisor", "Owns one replica; started by run and restore");
  command->callback([&session] {
    const ReplicaSpec spec = read_spec();
    const std::unique_ptr<Launcher> launcher = make_launcher(spec.launch);
    supervise(spec, *launcher, session.operation());
  });
}

}  // namespace coldstart
