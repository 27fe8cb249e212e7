// SPDX-License-Identifier: Apache-2.0
// The man pages name every command and option that the tool has, with the same names of values, and no other.
#include <map>
#include <set>
#include <sstream>

#include <doctest/doctest.h>

#include "cli/app.h"
#include "cli/help.h"
#include "core/base/files.h"

using namespace coldstart;

namespace {

const std::filesystem::path folder = std::filesystem::path(COLDSTART_SOURCE_DIR) / "man";

/// A line of roff as a reader sees it.
std::string plain(std::string line) {
  if (line.starts_with(".B ")) line.erase(0, 3);
  std::string text;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\')
      text += line[i];
    else if (i + 2 < line.size() && line[i + 1] == 'f')
      i += 2;  // a font
    else if (i + 1 < line.size())
      text += line[++i];
  }
  return text;
}

/// What a page promises.
struct Page {
  std::map<std::string, std::set<std::string>> terms;  // of every section: the tags of its list
  std::map<std::string, std::string> text;             // of every section

  explicit Page(const std::filesystem::path& file) {
    std::istringstream lines(read_text(file));
    std::string section;
    bool tag = false;
    for (std::string line; std::getline(lines, line); tag = line == ".TP") {
      if (line.starts_with(".SH ")) section = line.substr(4);
      if (tag) terms[section].insert(plain(line));
      text[section] += plain(line) + '\n';
    }
  }
};

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
}

std::set<std::string> names_of_commands(const CLI::App& app) {
  std::set<std::string> names;
  for (const CLI::App* command : commands_of(app)) names.insert(command->get_name());
  return names;
}

/// The options of a command and of those below it. --help is told of once, in coldstart(1).
std::set<std::string> options_of(const CLI::App& app) {
  std::set<std::string> labels;
  for (const CLI::Option* o : app.get_options([](const CLI::Option* p) { return p->nonpositional(); }))
    if (!o->get_group().empty() && (app.get_parent() == nullptr || !o->check_name("--help")))
      labels.insert(label_of(*o));
  if (app.get_parent() != nullptr)
    for (const CLI::App* command : commands_of(app)) labels.merge(options_of(*command));
  return labels;
}

/// For failures to show: what only one of them has, '+' before what the page lacks, '-' before what it should
/// not have.
std::string difference(const std::set<std::string>& page, const std::set<std::string>& tool) {
  std::string text;
  for (const std::string& one : tool)
    if (!page.contains(one)) text += "+" + one + "\n";
  for (const std::string& one : page)
    if (!tool.contains(one)) text += "-" + one + "\n";
  return text;
}

struct Tool {
  std::ostringstream out;
  Console console{out, out, {}};
  CancelToken cancel;
  Session session{console, cancel};
  std::unique_ptr<CLI::App> app = make_app(session);
};

}  // namespace

TEST_CASE("each command has a man page that names its commands and options, and no other") {
  const Tool tool;
  std::set<std::filesystem::path> pages = {folder / "coldstart.1"};
  for (const CLI::App* command : commands_of(*tool.app)) {
    const std::filesystem::path file = folder / ("coldstart-" + command->get_name() + ".1");
    pages.insert(file);
    INFO(file);
    CHECK(std::filesystem::exists(file));
    if (!std::filesystem::exists(file)) continue;
    Page page(file);
    CHECK(difference(page.terms["OPTIONS"], options_of(*command)) == "");
    CHECK(difference(page.terms["COMMANDS"], names_of_commands(*command)) == "");
    for (const CLI::App* sub : commands_of(*command))
      CHECK_MESSAGE(page.text["SYNOPSIS"].find(full_name(*sub)) != std::string::npos, full_name(*sub));
    CHECK(page.text["SYNOPSIS"].find(full_name(*command)) != std::string::npos);
    for (const char* section : {"NAME", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"})
      CHECK_MESSAGE(!page.text[section].empty(), section);
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    CHECK_MESSAGE(pages.count(entry.path()) == 1, "a page of no command: " << entry.path());
}

TEST_CASE("coldstart(1) names the commands and the global options") {
  const Tool tool;
  Page page(folder / "coldstart.1");
  CHECK(difference(page.terms["GLOBAL OPTIONS"], options_of(*tool.app)) == "");
  CHECK(difference(page.terms["COMMANDS"], names_of_commands(*tool.app)) == "");
}
