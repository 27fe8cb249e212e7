// SPDX-License-Identifier: Apache-2.0
#include "cli/describe.h"

#include "cli/help.h"

namespace coldstart {

namespace {

OrderedJson described(const CLI::Option& option) {
  OrderedJson one;
  if (option.get_positional()) {
    one["name"] = value_name(option);
  } else {
    one["names"] = OrderedJson::array();
    for (const std::string& name : option.get_snames()) one["names"].push_back("-" + name);
    for (const std::string& name : option.get_lnames()) one["names"].push_back("--" + name);
    one["value"] = value_name(option);
  }
  one["required"] = option.get_required();
  one["repeatable"] = takes_many(option);
  one["description"] = option.get_description();
  return one;
}

}  // namespace

OrderedJson describe(const CLI::App& app) {
  OrderedJson one = {{"name", app.get_name()},
                     {"description", app.get_description()},
                     {"arguments", OrderedJson::array()},
                     {"options", OrderedJson::array()},
                     {"commands", OrderedJson::array()}};
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty())
      one[option->get_positional() ? "arguments" : "options"].push_back(described(*option));
  for (const CLI::App* command : app.get_subcommands(nullptr))
    if (!command->get_group().empty()) one["commands"].push_back(describe(*command));
  return one;
}

}  // namespace coldstart
