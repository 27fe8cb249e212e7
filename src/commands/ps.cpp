// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/commands.h"
#include "core/sandbox/replica.h"

namespace coldstart {

namespace {

std::string status_of(const Replica& r) {
  if (r.exit)
    return r.exit->signal != 0 ? fmt::format("killed by signal {}", r.exit->signal)
                               : fmt::format("exited {}", r.exit->code);
  return to_text(r.state);
}

std::string ports_of(const Replica& r) {
  std::vector<std::string> all;
  for (const PortMapping& port : r.ports) all.push_back(port.text());
  return fmt::format("{}", fmt::join(all, " "));
}

void ps(Session& session, bool all) {
  const Replicas replicas(session.store_root);
  std::vector<std::vector<std::string>> rows;
  OrderedJson list = OrderedJson::array();
  const std::vector<Replica> found = replicas.list(all);
  for (const Replica& r : found) {
    rows.push_back({r.id, r.name.empty() ? "-" : r.name, r.source.empty() ? "(host)" : r.source, status_of(r),
                    r.alive() ? std::to_string(r.pid) : "-", ports_of(r), human_age(r.created)});
    list.push_back(r.to_json());
  }
  session.console.table({"ID", "NAME", "FROM", "STATUS", ">PID", "PORTS", "STARTED"}, rows);
  session.console.result(list);
  // Shown once; then what the dead left behind is taken away.
  if (std::any_of(found.begin(), found.end(), [](const Replica& r) { return r.state == ReplicaState::lost; }))
    replicas.collect();
}

}  // namespace

void add_ps(CLI::App& app, Session& session) {
  auto all = std::make_shared<bool>(false);
  auto* command = app.add_subcommand("ps", "List the replicas that run");
  command->add_flag("-a,--all", *all, "Also those that have ended");
  command->callback([&session, all] { ps(session, *all); });
}

}  // namespace coldstart
