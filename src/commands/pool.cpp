// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "commands/commands.h"
#include "commands/pool_commands.h"

namespace coldstart {

namespace {

/// The port of a URL; 80 if it names none, 0 if it is none.
uint16_t port_of(const std::string& url) {
  const size_t host = url.find("://");
  if (host == std::string::npos) return 0;
  const std::string rest = url.substr(host + 3, url.find('/', host + 3) - host - 3);
  const size_t colon = rest.rfind(':');
  if (colon == std::string::npos || rest.find(']', colon) != std::string::npos) return 80;
  return static_cast<uint16_t>(std::strtoul(rest.c_str() + colon + 1, nullptr, 10));
}

}  // namespace

RestoreRequest slot_request(const std::string& snapshot, const ReplicaOptions& place,
                            const std::string& memory, const SnapshotManifest& manifest) {
  RestoreRequest request;
  request.source = snapshot;
  request.memory = memory;
  request.binds = place.chosen_binds();
  request.net = place.chosen_net().value_or(Net::isolated);
  request.ports = place.chosen_ports();
  if (!request.ports.empty() && request.net != Net::isolated)
    throw Error::usage("-p needs --net private: with the host's network there is nothing to publish");
  if (request.net == Net::isolated && request.ports.empty() && manifest.ready.kind == Readiness::Kind::url)
    if (const uint16_t port = port_of(manifest.ready.value); port != 0)
      request.ports.push_back({"127.0.0.1", 0, port});
  return request;
}

void add_pool(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("pool", "Keep replicas ready, so that a start claims one");
  command->footer(
      "Examples:\n"
      "  coldstart pool warm llm:warm --min 4 -d\n"
      "  coldstart pool claim\n"
      "  coldstart pool simulate --generate daily --rate 0.2 --start-seconds 40 --export-svg pool.svg");
  command->require_subcommand(1);
  add_pool_warm(*command, session);
  add_pool_clients(*command, session);
  add_pool_simulate(*command, session);
}

}  // namespace coldstart
