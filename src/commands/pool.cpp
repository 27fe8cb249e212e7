// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"
#include "commands/pool_commands.h"

namespace coldstart {

void add_pool(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("pool", "Keep replicas ready, so that a start claims one");
  command->footer(
      "Examples:\n"
      "  coldstart pool simulate --generate daily --rate 0.2 --start-seconds 40 --export-svg pool.svg");
  command->require_subcommand(1);
  add_pool_simulate(*command, session);
}

}  // namespace coldstart
