// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"

namespace coldstart {

void add_store(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("store", "Look after the store");
  command->callback([&session] { session.console.line(session.store_root.string()); });
}

}  // namespace coldstart
