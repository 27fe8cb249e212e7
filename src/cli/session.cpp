// SPDX-License-Identifier: Apache-2.0
#include "cli/session.h"

#include <cstdlib>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "core/store/store.h"

namespace coldstart {

std::shared_ptr<Store> Session::store() {
  if (!store_) store_ = Store::open(store_root);
  return store_;
}

void Session::check_program(const CLI::App& app) const {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  if (!program.empty() && program_takers_.count(command) == 0)
    throw Error::usage("'" + command->get_name() + "' takes no command after '--'",
                       "coldstart " + command->get_name() + " --help");
}

Operation& Session::operation() {
  if (!operation_) {
    progress_ = console.progress();
    operation_ = std::make_unique<Operation>(Operation{cancel, *progress_, timeline});
  }
  return *operation_;
}

std::filesystem::path default_store_root() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value == nullptr ? "" : value);
  };
  if (auto root = variable("COLDSTART_STORE"); !root.empty()) return root;
  if (::geteuid() == 0) return "/var/lib/coldstart";
  if (auto data = variable("XDG_DATA_HOME"); !data.empty()) return data / "coldstart";
  return variable("HOME") / ".local/share/coldstart";
}

}  // namespace coldstart
