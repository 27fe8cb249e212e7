// SPDX-License-Identifier: Apache-2.0
#include "cli/complete.h"

#include <algorithm>
#include <sstream>

#include "cli/help.h"

namespace coldstart {

namespace {

/// The option called `name` ("-t", "--tag") of the command or of one above it.
const CLI::Option* find_option(const CLI::App* app, const std::string& name) {
  for (; app != nullptr; app = app->get_parent())
    for (const CLI::Option* option : app->get_options())
      if (option->nonpositional() && option->check_name(name)) return option;
  return nullptr;
}

bool takes_value(const CLI::Option* option) {
  return option != nullptr && option->get_items_expected_max() > 0;
}

/// Where the line stands: what all words but the last one lead to.
struct Place {
  const CLI::App* app;
  const CLI::Option* value_of = nullptr;  // the last word is this option's value
  size_t arguments = 0;                   // positional ones so far
  bool only_arguments = false;            // after "--"
  std::string store;

  void take(const std::string& word) {
    if (value_of != nullptr) {
      if (value_of->check_name("--store")) store = word;
      value_of = nullptr;
    } else if (!only_arguments && word == "--") {
      only_arguments = true;
    } else if (!only_arguments && word.size() > 1 && word[0] == '-') {
      take_option(word);
    } else {
      take_argument(word);
    }
  }

  void take_argument(const std::string& word) {
    const CLI::App* command = only_arguments || arguments > 0 ? nullptr : command_named(word);
    if (command != nullptr)
      app = command;
    else
      ++arguments;
  }

  void take_option(const std::string& word) {
    if (const size_t equals = word.find('='); equals != std::string::npos) {
      if (word.substr(0, equals) == "--store") store = word.substr(equals + 1);
    } else if (const CLI::Option* option = find_option(app, word); takes_value(option)) {
      value_of = option;
    }
  }

  const CLI::App* command_named(const std::string& word) const {
    for (const CLI::App* command : app->get_subcommands(nullptr))
      if (command->get_name() == word && !command->get_group().empty()) return command;
    return nullptr;
  }
};

class Completer {
 public:
  Completer(const Place& place, const Names& names, std::string typed)
      : place_(place), names_(names), typed_(std::move(typed)) {}

  Completion run() {
    const size_t equals = typed_.find('=');
    if (place_.value_of != nullptr) {
      add_values(value_name(*place_.value_of), "");
    } else if (!place_.only_arguments && typed_.starts_with("--") && equals != std::string::npos) {
      const std::string name = typed_.substr(0, equals);
      if (const CLI::Option* option = find_option(place_.app, name); takes_value(option))
        add_values(value_name(*option), name + '=');
    } else if (!place_.only_arguments && typed_.starts_with('-')) {
      add_options();
    } else {
      if (!place_.only_arguments && place_.arguments == 0) add_commands();
      add_arguments();
    }
    return result_;
  }

 private:
  void add(const std::string& word, const std::string& description = {}) {
    if (word.starts_with(typed_)) result_.words.push_back({word, description});
  }

  void add_commands() {
    for (const CLI::App* command : place_.app->get_subcommands(nullptr))
      if (!command->get_group().empty()) add(command->get_name(), command->get_description());
  }

  void add_options() {
    for (const CLI::App* app = place_.app; app != nullptr; app = app->get_parent()) {
      // Between a command and the tool itself, options are those of another command: `snapshot` beside
      // `snapshot ls`.
      if (app != place_.app && app->get_parent() != nullptr) continue;
      for (const CLI::Option* option : app->get_options()) {
        const bool again = app != place_.app && option->check_name("--help");
        if (!option->nonpositional() || option->get_group().empty() || again) continue;
        for (const std::string& name : option->get_lnames()) add("--" + name, option->get_description());
        for (const std::string& name : option->get_snames()) add("-" + name, option->get_description());
      }
    }
  }

  void add_arguments() {
    size_t left = place_.arguments;
    for (const CLI::Option* option : place_.app->get_options()) {
      if (!option->get_positional()) continue;
      const std::string name = value_name(*option);
      const bool command = name == "CMD";
      if (command == place_.only_arguments && (left == 0 || takes_many(*option))) return add_values(name, "");
      if (command != place_.only_arguments && left > 0) --left;
    }
  }

  /// Values of the kind that `type` names; each starts with `prefix` ("--tag=").
  void add_values(const std::string& type, const std::string& prefix) {
    if (type.find('|') != std::string::npos) {
      std::istringstream choices(type);
      for (std::string choice; std::getline(choices, choice, '|');) add(prefix + choice);
    } else if (type == "DIR") {
      result_.paths = Completion::Paths::folders;
    } else if (type == "FILE" || type == "SOURCE" || type == "CMD") {
      result_.paths = Completion::Paths::files;
    } else {
      add_names(type, prefix);
    }
  }

  void add_names(const std::string& type, const std::string& prefix) {
    const CLI::App* parent = place_.app->get_parent();
    const bool of_snapshots = parent != nullptr && parent->get_name() == "snapshot";
    std::vector<std::string> found;
    if (type == "SNAPSHOT" || (type == "REF" && of_snapshots))
      found = names_(NameKind::snapshot, place_.store);
    else if (type == "REF" || type == "IMAGE")
      found = names_(NameKind::image, place_.store);
    else if (type == "REPLICA")
      found = names_(NameKind::replica, place_.store);
    // A push takes either.
    if (type == "REF" && place_.app->get_name() == "push")
      for (const std::string& name : names_(NameKind::snapshot, place_.store)) found.push_back(name);
    for (const std::string& name : found) add(prefix + name);
  }

  const Place& place_;
  const Names& names_;
  std::string typed_;
  Completion result_;
};

}  // namespace

Completion complete(const CLI::App& app, const std::vector<std::string>& words, const Names& names) {
  Place place{&app, nullptr, 0, false, {}};
  if (words.empty()) return Completer(place, names, "").run();
  for (size_t i = 0; i + 1 < words.size(); ++i) place.take(words[i]);
  return Completer(place, names, words.back()).run();
}

std::string to_text(const Completion& completion) {
  std::string text;
  for (const Suggestion& s : completion.words)
    text += s.word + (s.description.empty() ? "" : '\t' + s.description) + '\n';
  if (completion.paths == Completion::Paths::files) text += ":files\n";
  if (completion.paths == Completion::Paths::folders) text += ":folders\n";
  return text;
}

}  // namespace coldstart
