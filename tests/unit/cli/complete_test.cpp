// SPDX-License-Identifier: Apache-2.0
#include "cli/complete.h"

#include <doctest/doctest.h>

using namespace coldstart;

namespace {

/// A command line with one of each kind of thing.
struct Tool {
  CLI::App app{"A tool", "coldstart"};
  std::string text;
  std::vector<std::string> texts;
  bool flag = false;

  Tool() {
    app.add_option("--store", text)->type_name("DIR");
    app.add_flag("-v,--verbose", flag, "Say more");
    auto* image = app.add_subcommand("image", "Images");
    auto* pack = image->add_subcommand("pack", "Pack one");
    pack->add_option("SOURCE", text)->required();
    pack->add_option("-t,--tag", text)->type_name("REF");
    pack->add_option("--level", text)->check(CLI::IsMember({"auto", "best"}));
    image->add_subcommand("rm", "Remove one")->add_option("REF", texts)->required();
    auto* run = app.add_subcommand("run", "Run");
    run->add_option("REF", text);
    run->add_option("CMD", texts);
    app.add_subcommand("snapshot", "")->add_subcommand("rm", "")->add_option("REF", text);
    app.add_subcommand("stop", "")->add_option("which", text)->type_name("REPLICA");
    app.add_subcommand("secret", "")->group("");
  }

  std::string at(const std::vector<std::string>& words) const {
    return to_text(complete(app, words, [](NameKind kind, const std::string& store) {
      const char* names[] = {"llm:v1", "warm:v1", "abc123"};
      return std::vector<std::string>{store + names[static_cast<int>(kind)]};
    }));
  }
};

}  // namespace

TEST_CASE("completion of commands leaves hidden ones out and knows groups") {
  const Tool tool;
  CHECK(tool.at({""}) == "image\tImages\nrun\tRun\nsnapshot\nstop\n");
  CHECK(tool.at({}) == tool.at({""}));
  CHECK(tool.at({"im"}) == "image\tImages\n");
  CHECK(tool.at({"--store", "/x", "-v", "im"}) == "image\tImages\n");
  CHECK(tool.at({"image", ""}) == "pack\tPack one\nrm\tRemove one\n");
  CHECK(tool.at({"nothing", ""}).empty());
}

TEST_CASE("completion of options: the command's own and the global ones") {
  const Tool tool;
  CHECK(tool.at({"image", "pack", "--t"}) == "--tag\n");
  CHECK(tool.at({"image", "pack", "--verb"}) == "--verbose\tSay more\n");
  CHECK(tool.at({"image", "pack", "--level", ""}) == "auto\nbest\n");
  CHECK(tool.at({"image", "pack", "--level=b"}) == "--level=best\n");
  CHECK(tool.at({"image", "pack", "--store", ""}) == ":folders\n");
  CHECK(tool.at({"run", "llm", "--", "--t"}) == ":files\n");
}

TEST_CASE("completion of arguments by what they are") {
  const Tool tool;
  CHECK(tool.at({"image", "pack", ""}) == ":files\n");
  CHECK(tool.at({"image", "pack", "-t", "l"}) == "llm:v1\n");
  CHECK(tool.at({"image", "pack", "source", ""}).empty());
  CHECK(tool.at({"image", "rm", "one", "ll"}) == "llm:v1\n");
  CHECK(tool.at({"snapshot", "rm", ""}) == "warm:v1\n");
  CHECK(tool.at({"stop", ""}) == "abc123\n");
  CHECK(tool.at({"stop", "x"}).empty());
  CHECK(tool.at({"run", ""}) == "llm:v1\n");
  CHECK(tool.at({"run", "llm:v1", "--", ""}) == ":files\n");
  CHECK(tool.at({"--store", "/s/", "run", ""}) == "/s/llm:v1\n");
  CHECK(tool.at({"--store=/s/", "run", ""}) == "/s/llm:v1\n");
}
