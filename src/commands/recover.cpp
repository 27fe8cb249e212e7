// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"
#include "core/gpu/controller.h"

namespace coldstart {

void add_recover(CLI::App& app, Session& session) {
  auto* command =
      app.add_subcommand("recover", "Put back processes whose GPU state an interrupted command left frozen");
  command->footer(
      "Every other command does it by itself when it starts.\n"
      "\n"
      "Examples:\n"
      "  coldstart recover\n"
      "  coldstart --json recover | jq '.processes[] | select(.ended)'");
  command->callback([&session] {
    OrderedJson list = OrderedJson::array();
    const std::vector<PutBack> told = recover_gpu(session.store_root, session.cancel);
    for (const PutBack& one : told) {
      session.console.line(one.text());
      list.push_back(to_json(one));
    }
    if (told.empty()) session.console.line("nothing to recover");
    session.console.result({{"processes", list}});
  });
}

}  // namespace coldstart
