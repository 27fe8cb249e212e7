// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "commands/commands.h"
#include "core/sandbox/replica.h"

namespace coldstart {

namespace {

struct Options {
  std::vector<std::string> which;
  double patience = 10;
};

void stop(Session& session, const Options& options) {
  const Replicas replicas(session.store_root);
  // All are looked up first: a misspelt one stops none.
  std::vector<Replica> found;
  for (const std::string& which : options.which) found.push_back(replicas.find_running(which));
  OrderedJson list = OrderedJson::array();
  const auto patience = std::chrono::milliseconds(std::llround(options.patience * 1000));
  for (const Replica& replica : found) {
    replicas.stop(replica, patience, session.cancel);
    session.console.line(replica.id);
    list.push_back(replica.id);
  }
  session.console.result({{"stopped", list}});
}

}  // namespace

void add_stop(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command =
      app.add_subcommand("stop", "End replicas: SIGTERM, and SIGKILL for those that do not listen");
  command->footer(
      "Examples:\n"
      "  coldstart stop server\n"
      "  coldstart stop --timeout 60 one two");
  command->add_option("replica", options->which, "Ids or names")->required()->type_name("REPLICA");
  command->add_option("--timeout", options->patience, "Seconds between the two signals")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->callback([&session, options] { stop(session, *options); });
}

}  // namespace coldstart
