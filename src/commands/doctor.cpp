// SPDX-License-Identifier: Apache-2.0
#include "core/doctor/doctor.h"

#include <algorithm>

#include <fmt/format.h>

#include "commands/commands.h"

namespace coldstart {

namespace {

void show(Console& console, const std::vector<HostCheck>& checks) {
  size_t width = 0;
  for (const HostCheck& c : checks) width = std::max(width, c.name.size());
  for (const HostCheck& c : checks) {
    const char* mark = c.ok ? "ok" : c.needed ? "FAIL" : "lack";
    console.line(fmt::format("{:4}  {:{}}  {}", mark, c.name, width, c.detail));
    if (!c.hint.empty())
      console.line(fmt::format("{:{}}  {}hint: {}", "", width + 6, c.needed ? "" : "optional; ", c.hint));
  }
  const auto missing =
      std::count_if(checks.begin(), checks.end(), [](const HostCheck& c) { return c.needed && !c.ok; });
  console.line("");
  console.line(missing == 0 ? "All that is needed is here."
                            : fmt::format("{} of what is needed is missing.", missing));
}

OrderedJson as_json(const std::vector<HostCheck>& checks) {
  OrderedJson list = OrderedJson::array();
  for (const HostCheck& c : checks) {
    OrderedJson one = {
        {"name", c.name}, {"ok", c.ok}, {"needed", c.needed}, {"detail", c.detail}, {"hint", c.hint}};
    if (!c.path.empty()) one["path"] = c.path.string();
    list.push_back(std::move(one));
  }
  return {{"checks", std::move(list)}, {"ok", all_needed_ok(checks)}};
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("doctor", "Tell what this host can do, with a hint for each lack");
  command->footer(
      "Examples:\n"
      "  coldstart doctor\n"
      "  coldstart doctor --json | jq -r '.checks[] | select(.name == \"criu\").path'\n"
      "\n"
      "Exit status 6 if something that is needed is missing.");
  command->callback([&session] {
    const std::vector<HostCheck> checks = check_host(session.store_root);
    show(session.console, checks);
    session.console.result(as_json(checks));
    if (!all_needed_ok(checks)) session.exit_status = static_cast<int>(Exit::missing);
  });
}

}  // namespace coldstart
