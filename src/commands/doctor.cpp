// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"

namespace coldstart {

void add_doctor(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("doctor", "What this host can do, with a hint for each lack");
  command->callback([&session] { session.console.line("coldstart " COLDSTART_VERSION); });
}

}  // namespace coldstart
