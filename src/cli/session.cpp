// SPDX-License-Identifier: Apache-2.0
#include "cli/session.h"

#include <cstdlib>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "cli/help.h"
#include "core/remote/open_store.h"

namespace coldstart {

std::shared_ptr<Store> Session::store() {
  if (!store_) store_ = open_store(store_root, &cancel);
  return store_;
}

void Session::takes_program(CLI::App* command) {
  command->add_option("CMD", stray_words_, "The program to run and its arguments, behind '--'");
}

void Session::check_program(const CLI::App& app) const {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  if (!stray_words_.empty())
    throw Error::usage("unexpected argument '" + stray_words_[0] + "'",
                       "the program to run stands behind '--'");
  if (!program.empty() && command->get_option_no_throw("CMD") == nullptr)
    throw Error::usage("'" + full_name(*command) + "' takes no program behind '--'",
                       full_name(*command) + " --help");
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
