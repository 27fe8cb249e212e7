// SPDX-License-Identifier: Apache-2.0
#pragma once
// What --help prints.

#include <string>

#include <CLI/CLI.hpp>

namespace coldstart {

/// One page: what it is, usage, arguments, commands, options, the global options, examples (the footer).
class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
};

/// "-t, --tag REF"
std::string label_of(const CLI::Option& option);
/// "coldstart image pack [OPTIONS] SOURCE", for a command that does something itself.
std::string usage_of(const CLI::App& command);
/// "coldstart image pack"
std::string full_name(const CLI::App& command);

/// What an option's value, or an argument, is called: "DIR", "auto|on|off"; empty for a flag.
std::string value_name(const CLI::Option& option);
/// True for an argument that may be given any number of times.
bool takes_many(const CLI::Option& option);

}  // namespace coldstart
