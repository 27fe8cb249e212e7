// SPDX-License-Identifier: Apache-2.0
#include "core/doctor/probes.h"

#include <csignal>
#include <fstream>

#include <doctest/doctest.h>
#include <linux/capability.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/doctor/doctor.h"

using namespace coldstart;

namespace {

std::string message_of(const Probe& probe) {
  try {
    probe();
  } catch (const Error& e) {
    return e.message() + '|' + e.hint();
  }
  return {};
}

}  // namespace

TEST_CASE("a probe in a child hands over what it found, or its error with the hint") {
  CHECK(in_child([] { return std::string("found"); }) == "found");
  CHECK(message_of([] { return in_child([]() -> std::string { throw Error("lacks", "do this"); }); }) ==
        "lacks|do this");
  CHECK(message_of([] { return in_child([]() -> std::string { throw Error("lacks"); }); }) == "lacks|");
}

TEST_CASE("a probe that crashes is an error, and no more") {
  const Probe crash = [] {
    ::raise(SIGKILL);
    return std::string();
  };
  CHECK(message_of([&] { return in_child(crash); }) == "the try itself broke off|");
}

TEST_CASE("the store's folder need not exist, but must be a folder") {
  const TempDir folder;
  CHECK(probe_store(folder.path()).find("not made yet") == std::string::npos);
  CHECK(probe_store(folder.path() / "a/b").find("not made yet") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "a"));
  std::ofstream(folder.path() / "file") << "x";
  CHECK(message_of([&] { return probe_store(folder.path() / "file"); }).find("is not a folder") !=
        std::string::npos);
}

TEST_CASE("a capability that does not exist is not held") {
  CHECK(message_of([] { return probe_capability(CAP_LAST_CAP + 1); }) == "not held|");
}

TEST_CASE("only needed checks decide") {
  HostCheck bad;
  bad.needed = false;
  CHECK(all_needed_ok({bad}));
  bad.needed = true;
  CHECK_FALSE(all_needed_ok({bad}));
}
