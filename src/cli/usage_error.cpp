// SPDX-License-Identifier: Apache-2.0
#include "cli/usage_error.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/help.h"

namespace coldstart {

namespace {

/// Insertions, deletions, replacements and swaps of neighbours that make `b` of `a`.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

/// The command that the line had reached when the parser gave up.
const CLI::App& reached(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().back();
  return *at;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
}

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : commands_of(app)) names.push_back(sub->get_name());
  return names;
}

std::string see_help(const CLI::App& app) {
  return full_name(app) + " --help";
}

Error unknown_command(const CLI::App& at, const std::string& word) {
  // A command of a group, named without its group: "pack" for "image pack".
  std::vector<std::string> meant;
  for (const CLI::App* group : commands_of(at))
    for (const CLI::App* sub : commands_of(*group))
      if (sub->get_name() == word) meant.push_back('\'' + full_name(*sub) + '\'');
  if (const std::string near = nearest(word, names_of_commands(at)); meant.empty() && !near.empty())
    meant.push_back('\'' + full_name(at) + ' ' + near + '\'');
  const std::string hint = meant.empty() ? see_help(at) + " lists the commands"
                                         : fmt::format("did you mean {}?", fmt::join(meant, " or "));
  return Error::usage(fmt::format("unknown command '{}'", word), hint);
}

Error unknown_option(const CLI::App& at, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* app = &at; app != nullptr; app = app->get_parent())
    for (const CLI::Option* option : app->get_options())
      if (!option->get_group().empty())
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  const std::string name = word.substr(0, word.find('='));
  std::string near = nearest(name, names);
  // "-json" is a habit from other tools.
  if (near.empty() && !name.starts_with("--") && name.size() > 2) near = nearest('-' + name, names);
  const bool takes_program = at.get_option_no_throw("CMD") != nullptr;
  const std::string hint = !near.empty()   ? "did you mean '" + near + "'?"
                           : takes_program ? "what is the program's own stands behind '--'"
                                           : see_help(at) + " lists the options";
  return Error::usage(fmt::format("unknown option '{}'", name), hint);
}

/// CLI11's own sentence, in better words where it has a poor one.
std::string reworded(const std::string& text) {
  if (const size_t at = text.find(": 1 required "); at != std::string::npos && text.ends_with(" missing"))
    return text.substr(0, at) + " needs a value";
  const std::string poor = "Could not convert: ";
  if (const size_t at = text.find(" = "); text.starts_with(poor) && at != std::string::npos)
    return fmt::format("{} cannot be '{}'", text.substr(poor.size(), at - poor.size()), text.substr(at + 3));
  return text;
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  const size_t far = std::max<size_t>(1, word.size() / 3);
  std::string best;
  size_t least = far + 1;
  for (const std::string& candidate : candidates)
    if (const size_t d = distance(word, candidate); d < least) {
      least = d;
      best = candidate;
    }
  if (!best.empty()) return best;
  for (const std::string& candidate : candidates)
    if (word.size() >= 2 && word != "--" && candidate.starts_with(word)) return candidate;
  return {};
}

Error usage_error(const CLI::App& app, const CLI::ParseError& found) {
  const CLI::App& at = reached(app);
  // A word that nobody took is the cause of whatever is missing besides.
  for (const std::string& word : app.remaining(true)) {
    if (word == "--") continue;
    if (word.size() > 1 && word.starts_with('-')) return unknown_option(at, word);
    if (!commands_of(at).empty()) return unknown_command(at, word);
    return Error::usage(fmt::format("unexpected argument '{}'", word), see_help(at));
  }
  if (at.get_require_subcommand_min() > 0 && found.get_name() == "RequiredError")
    return Error::usage("a command is missing", fmt::format("{} COMMAND, where COMMAND is {}", full_name(at),
                                                            fmt::join(names_of_commands(at), ", ")));
  return Error::usage(reworded(found.what()), see_help(at));
}

}  // namespace coldstart
