// SPDX-License-Identifier: Apache-2.0
// The command line as a whole, run in this process.
#include "cli/app.h"

#include <csignal>
#include <sstream>

#include <CLI/CLI.hpp>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/usage_error.h"

using namespace coldstart;

namespace {

struct Result {
  int status;
  std::string out, err;
};

Result run(const std::vector<std::string>& arguments) {
  std::ostringstream out, err;
  Console console(out, err, {});
  CancelToken cancel;
  const int status = run_app(arguments, console, cancel);
  return {status, out.str(), err.str()};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("without arguments the help is printed, grouped, with the global options") {
  const Result r = run({});
  CHECK(r.status == 0);
  CHECK(r.err.empty());
  CHECK(contains(r.out, "Usage: coldstart"));
  CHECK(contains(r.out, "Store and host:\n"));
  CHECK(contains(r.out, "Global options:\n"));
  CHECK(contains(r.out, "--timeline FILE"));
  CHECK(contains(r.out, "Examples:\n"));
  CHECK(run({"--help"}).out == r.out);
  CHECK(run({"help"}).out == r.out);
}

TEST_CASE("a command's help is printed by --help behind it and by help before it") {
  const Result r = run({"doctor", "--help"});
  CHECK(r.status == 0);
  CHECK(contains(r.out, "Usage: coldstart doctor"));
  CHECK(contains(r.out, "Global options:\n"));
  CHECK(run({"help", "doctor"}).out == r.out);
}

TEST_CASE("every command is found by its name, which alone is made where a line begins with it") {
  std::ostringstream out, err;
  Console console(out, err, {});
  CancelToken cancel;
  Session session(console, cancel);
  const auto app = make_app(session);
  for (const CLI::App* command : app->get_subcommands(nullptr)) {
    const std::string& name = command->get_name();
    CHECK_MESSAGE(contains(run({name, "--help"}).out, "Usage: coldstart " + name), name);
    CHECK_MESSAGE(contains(run({"--timeline", "ps", "--store", "run", name, "--help"}).out, name), name);
  }
  CHECK(contains(run({"doctor", "ps"}).err, "ps"));
}

TEST_CASE("the version is a result, also as JSON") {
  CHECK(run({"--version"}).out == "coldstart " COLDSTART_VERSION "\n");
  CHECK(parse_json(run({"--json", "--version"}).out, "it").at("version") == COLDSTART_VERSION);
}

TEST_CASE("an unknown command is a usage error that names the nearest one") {
  const Result r = run({"docter"});
  CHECK(r.status == 2);
  CHECK(r.out.empty());
  CHECK(r.err == "coldstart: error: unknown command 'docter'\nhint: did you mean 'coldstart doctor'?\n");
  CHECK(contains(run({"xyzzy"}).err, "hint: coldstart --help lists the commands"));
}

TEST_CASE("an unknown option is a usage error that names the nearest one") {
  const Result r = run({"doctor", "--verbse"});
  CHECK(r.status == 2);
  CHECK(r.err == "coldstart: error: unknown option '--verbse'\nhint: did you mean '--verbose'?\n");
  CHECK(contains(run({"doctor", "--jsn=1"}).err, "unknown option '--jsn'\nhint: did you mean '--json'?"));
  CHECK(contains(run({"-json", "doctor"}).err, "'--json'"));
  CHECK(contains(run({"doctor", "--xyzzy"}).err, "hint: coldstart doctor --help lists the options"));
}

TEST_CASE("what is missing or too much is said in plain words") {
  CHECK(contains(run({"doctor", "more"}).err, "error: unexpected argument 'more'"));
  CHECK(contains(run({"doctor", "--store"}).err, "error: --store needs a value"));
  CHECK(contains(run({"--json"}).err, "error: a command is missing"));
  CHECK(run({"-q", "-v", "doctor"}).status == 2);
}

TEST_CASE("a program's words stand behind '--', and only where a program is taken") {
  const Result stray = run({"run", "image", "ls"});
  CHECK(stray.status == 2);
  CHECK(contains(stray.err, "unexpected argument 'ls'\nhint: the program to run stands behind '--'"));
  CHECK(contains(run({"run", "image", "ls", "-l"}).err,
                 "unknown option '-l'\nhint: what is the program's own"));
  const Result none = run({"doctor", "--", "ls"});
  CHECK(none.status == 2);
  CHECK(contains(none.err, "'coldstart doctor' takes no program behind '--'"));
  CHECK(contains(run({"help", "run"}).out, "Usage: coldstart run [OPTIONS] [IMAGE] [-- CMD...]"));
}

TEST_CASE("with --json a usage error is an object on stdout, wherever the flag stands") {
  for (const std::vector<std::string>& line : {std::vector<std::string>{"--json", "docter"},
                                               {"docter", "--json"},
                                               {"--json", "doctor", "--store"}}) {
    const Result r = run(line);
    CHECK(r.status == 2);
    const Json error = parse_json(r.out, "it").at("error");
    CHECK(error.at("code") == 2);
    CHECK(!error.at("message").get<std::string>().empty());
    CHECK(!error.at("hint").get<std::string>().empty());
  }
}

TEST_CASE("global options are taken before and after the command") {
  CancelToken cancel;
  std::ostringstream out, err;
  for (const std::vector<std::string>& line : {std::vector<std::string>{"--store", "/x/y", "store", "--help"},
                                               {"store", "--store", "/x/y", "--help"}}) {
    Console console(out, err, {});
    CHECK(run_app(line, console, cancel) == 0);
  }
}

TEST_CASE("nearest finds misspellings and beginnings, and nothing that is far") {
  const std::vector<std::string> names = {"image", "mount", "umount", "run", "restore", "snapshot"};
  CHECK(nearest("iamge", names) == "image");
  CHECK(nearest("snapshto", names) == "snapshot");
  CHECK(nearest("snap", names) == "snapshot");
  CHECK(nearest("images", names) == "image");
  CHECK(nearest("ru", names) == "run");
  CHECK(nearest("kubernetes", names).empty());
  CHECK(nearest("", names).empty());
}

TEST_CASE("output to a full disk is an error, and nothing after it is written") {
  const int fd = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  CancelToken cancel;
  std::ostringstream err;
  {
    OutputStream out(fd, cancel);
    Console console(out, err, {});
    CHECK(run_app({"--json", "--version"}, console, cancel) == 1);
  }
  CHECK(err.str() == "coldstart: error: standard output: cannot write: No space left on device\n");
  CHECK(!cancel.cancelled());
  ::close(fd);
}

TEST_CASE("a reader that goes away stops the work and is no error") {
  std::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::close(ends[0]);
  CancelToken cancel;
  std::ostringstream err;
  {
    OutputStream out(ends[1], cancel);
    Console console(out, err, {});
    CHECK(run_app({"--help"}, console, cancel) == 0);
  }
  CHECK(err.str().empty());
  CHECK(cancel.signal() == SIGPIPE);
  ::close(ends[1]);
}
