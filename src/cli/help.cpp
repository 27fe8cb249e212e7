// SPDX-License-Identifier: Apache-2.0
#include "cli/help.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace coldstart {

namespace {

constexpr size_t width = 96;
constexpr size_t text_column = 26;

/// `text` broken at spaces; every line after the first starts with `indent` spaces.
std::string wrapped(const std::string& text, size_t indent) {
  std::string result;
  size_t column = indent;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (column > indent && column + 1 + (end - at) > width) {
      result += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      result += ' ';
      ++column;
    }
    result += text.substr(at, end - at);
    column += end - at;
    at = end + 1;
  }
  return result;
}

std::string entry(const std::string& label, const std::string& text) {
  std::string line = "  " + label;
  if (line.size() + 2 <= text_column)
    line.resize(text_column, ' ');
  else
    line += '\n' + std::string(text_column, ' ');
  return line + wrapped(text, text_column) + '\n';
}

/// "-t REF"
std::string short_label_of(const CLI::Option& option) {
  const std::string name =
      option.get_snames().empty() ? "--" + option.get_lnames().at(0) : "-" + option.get_snames()[0];
  return name + ' ' + value_name(option);
}

/// What the validators of an option say, the last one first.
std::vector<std::string> validators_of(const CLI::Option& option) {
  std::vector<std::string> texts;
  try {
    for (int i = 0;; ++i)
      if (const std::string text = const_cast<CLI::Option&>(option).get_validator(i)->get_description();
          !text.empty())
        texts.insert(texts.begin(), text);
  } catch (const CLI::OptionNotFound&) {
    return texts;  // CLI11 has no other way to tell how many there are
  }
}

std::string text_of(const CLI::Option& option) {
  std::string text = option.get_description();
  const std::string preset = option.get_default_str();
  if (!preset.empty() && text.find("default") == std::string::npos) text += " (default " + preset + ")";
  if (option.nonpositional() && takes_many(option) && text.find("repeatable") == std::string::npos)
    text += " (repeatable)";
  return text;
}

std::string usage(const CLI::App& app) {
  const bool group = !app.get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); }).empty();
  if (!group) return "Usage: " + usage_of(app) + '\n';
  const std::string choice = full_name(app) + " [OPTIONS] COMMAND ...\n";
  if (app.get_require_subcommand_min() > 0) return "Usage: " + choice;
  return "Usage: " + usage_of(app) + "\n       " + choice;
}

std::string positionals(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* o : app.get_options([](const CLI::Option* p) { return p->get_positional(); }))
    if (!o->get_group().empty() && !o->get_description().empty()) text += entry(value_name(*o), text_of(*o));
  return text.empty() ? text : "\nArguments:\n" + text;
}

std::string options(const CLI::App& app, const std::string& group, const std::string& title) {
  std::string text;
  for (const CLI::Option* o : app.get_options([](const CLI::Option* p) { return p->nonpositional(); }))
    if (o->get_group() == group && (app.get_parent() == nullptr || !o->check_name("--help")))
      text += entry((o->get_snames().empty() ? "    " : "") + label_of(*o), text_of(*o));
  return text.empty() ? text : '\n' + title + ":\n" + text;
}

std::string commands(const CLI::App& app) {
  std::vector<std::string> groups;
  for (const CLI::App* sub : app.get_subcommands(nullptr))
    if (!sub->get_group().empty() &&
        std::find(groups.begin(), groups.end(), sub->get_group()) == groups.end())
      groups.push_back(sub->get_group());
  std::string text;
  for (const std::string& group : groups) {
    text += '\n' + (group == "Subcommands" ? "Commands" : group) + ":\n";
    for (const CLI::App* sub : app.get_subcommands(nullptr))
      if (sub->get_group() == group) text += entry(sub->get_name(), sub->get_description());
  }
  return text;
}

}  // namespace

std::string label_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const auto& name : option.get_snames()) names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) names.push_back("--" + name);
  const std::string label = fmt::format("{}", fmt::join(names, ", "));
  const std::string value = value_name(option);
  return value.empty() ? label : label + ' ' + value;
}

std::string full_name(const CLI::App& command) {
  const std::string& name = command.get_name();
  return command.get_parent() == nullptr ? name : full_name(*command.get_parent()) + ' ' + name;
}

std::string usage_of(const CLI::App& command) {
  std::string text = full_name(command) + " [OPTIONS]";
  for (const CLI::Option* o : command.get_options([](const CLI::Option* p) { return p->nonpositional(); }))
    if (o->get_required()) text += ' ' + short_label_of(*o);
  for (const CLI::Option* o : command.get_options([](const CLI::Option* p) { return p->get_positional(); })) {
    if (o->get_group().empty()) continue;
    std::string word = value_name(*o);
    if (takes_many(*o)) word = fmt::format("{}{}...", word == "CMD" ? "-- " : "", word);
    text += o->get_required() ? ' ' + word : " [" + word + ']';
  }
  return text;
}

std::string value_name(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return {};  // a flag
  std::string type = option.get_type_name();
  // CLI11 appends what its validators say: "TEXT:{auto,on,off}", "UINT:INT in [1 - 19]".
  for (const std::string& text : validators_of(option)) {
    if (type.ends_with(':' + text)) type.resize(type.size() - text.size() - 1);
    if (text.starts_with('{') && text.ends_with('}')) {
      type = text.substr(1, text.size() - 2);
      std::replace(type.begin(), type.end(), ',', '|');
      return type;
    }
  }
  if (type == "TEXT") return option.get_positional() ? option.get_name(true) : "VALUE";
  return type == "INT" || type == "UINT" || type == "FLOAT" ? "N" : type;
}

bool takes_many(const CLI::Option& option) {
  return option.get_items_expected_max() >= CLI::detail::expected_max_vector_size;
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const {
  const CLI::App* root = app;
  while (root->get_parent() != nullptr) root = root->get_parent();
  std::string text = wrapped(app->get_description(), 0) + "\n\n" + usage(*app);
  text += positionals(*app) + commands(*app);
  if (app != root)
    for (const std::string& group : app->get_groups())
      if (!group.empty()) text += options(*app, group, group);
  text += options(*root, "Global options", "Global options");
  if (!app->get_footer().empty()) text += '\n' + app->get_footer() + '\n';
  return text;
}

}  // namespace coldstart
