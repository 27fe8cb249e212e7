// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/criu_program.h"

#include <cstdlib>
#include <optional>

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/subprocess.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

/// An environment variable with another value until the end of the scope.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    ::setenv(name, value.c_str(), 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    if (old_)
      ::setenv(name_, old_->c_str(), 1);
    else
      ::unsetenv(name_);
  }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

void write_program(const fs::path& path, const std::string& says) {
  make_folders(path.parent_path());
  write_file_atomic(path, as_bytes("#!/bin/sh\necho '" + says + "'\n"), 0755);
}

Error refusal() {
  try {
    CriuProgram::find();
  } catch (const Error& e) {
    CHECK(e.exit() == Exit::missing);
    CHECK(e.hint().find("scripts/setup criu") != std::string::npos);
    return e;
  }
  FAIL("a CRIU was found");
  return Error("");
}

}  // namespace

TEST_CASE("no CRIU, an old one and a broken one are named") {
  const TempDir folder;
  const Environment prefix("COLDSTART_CRIU_PREFIX", folder.path() / "prefix");
  const Environment path("PATH", folder.path() / "path");
  const Environment chosen("COLDSTART_CRIU", "");
  CHECK(refusal().message() == "no CRIU 4.2 or newer");

  write_program(folder.path() / "prefix/bin/criu", "no luck");
  write_program(folder.path() / "path/criu", "Version: 3.17.1");
  const std::string message = refusal().message();
  CHECK(message.find("prefix/bin/criu does not run") != std::string::npos);
  CHECK(message.find("path/criu is 3.17.1") != std::string::npos);
}

TEST_CASE("a chosen CRIU is the only one looked at") {
  const TempDir folder;
  const Environment chosen("COLDSTART_CRIU", folder.path() / "none");
  CHECK(refusal().message().find("none does not run") != std::string::npos);
}

TEST_CASE("what is found in a prefix runs through a descriptor of it") {
  const TempDir folder;
  const Environment chosen("COLDSTART_CRIU", folder.path() / "bin/criu");
  write_program(folder.path() / "bin/criu", "Version: 4.10.2");
  for (const char* name : {"usr/lib64/ld-linux-x.so.2", "usr/lib/x/libc.so.6", "usr/sbin/criu"})
    write_program(folder.path() / name, name);
  const CriuProgram criu = CriuProgram::find();
  CHECK(criu.version() == "4.10.2");
  write_file_atomic(folder.path() / "criu-version", as_bytes("4.11\n"));
  CHECK(CriuProgram::find().version() == "4.11");
  const Fd root = criu.open_root();
  const std::vector<std::string> words = criu.start_by(root.get());
  REQUIRE(words.size() == 4);
  CHECK(words[1] == "--library-path");
  CHECK(fs::exists(words[0]));
  CHECK(fs::exists(words[2] + "/libc.so.6"));
  CHECK(fs::exists(words[3]));
}
