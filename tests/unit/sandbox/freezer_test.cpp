// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/freezer.h"

#include <algorithm>
#include <chrono>

#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include "core/base/process_tree.h"
#include "core/base/subprocess.h"

using namespace coldstart;

namespace {

/// A shell and its child, both of which never stop writing to a pipe that we read.
struct Busy {
  Pipe pipe = make_pipe();
  Child shell;
  Busy() {
    SpawnOptions options;
    options.argv = {"sh", "-c",
                    "(while :; do echo child; sleep 0.01; done) & while :; do echo parent; sleep 0.01; done"};
    options.fds = {{pipe.write.get(), 1}};
    options.new_session = true;
    shell = Child(options);
    pipe.write.reset();
  }
  ~Busy() {
    if (shell) kill_tree(shell.pid());
  }
  /// What comes within 100 ms, after what was there.
  std::string hear() {
    char text[65536];
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
    std::string heard;
    for (pollfd p{pipe.read.get(), POLLIN, 0}; std::chrono::steady_clock::now() < end;)
      if (::poll(&p, 1, 10) > 0)
        heard.append(text, static_cast<size_t>(std::max<ssize_t>(0, ::read(p.fd, text, sizeof text))));
    return heard;
  }
  bool hears_both() {
    for (int i = 0; i < 100; ++i) {
      const std::string heard = hear();
      if (heard.find("child") != std::string::npos && heard.find("parent") != std::string::npos) return true;
    }
    return false;
  }
};

}  // namespace

TEST_CASE("frozen processes and their children take no step, and then go on") {
  for (const auto means : {Freezer::Means::automatic, Freezer::Means::signals}) {
    Busy busy;
    REQUIRE(busy.hears_both());
    Freezer freezer({busy.shell.pid()}, "coldstart-unit-" + std::to_string(::getpid()), means);
    for (int round = 0; round < 3; ++round) {
      freezer.freeze();
      CHECK(freezer.frozen());
      busy.hear();
      CHECK(busy.hear().empty());
      freezer.thaw();
      CHECK(busy.hears_both());
    }
    freezer.freeze();
    kill_tree(busy.shell.pid());
    busy.shell.wait();
    busy.shell = Child();
  }
}

TEST_CASE("a freezer that goes lets its processes run") {
  Busy busy;
  { Freezer({busy.shell.pid()}, "coldstart-unit-b" + std::to_string(::getpid())).freeze(); }
  CHECK(busy.hears_both());
  Freezer::remove_group("coldstart-unit-b" + std::to_string(::getpid()));
}

TEST_CASE("what has ended, but was not waited for, holds nobody up") {
  for (const auto means : {Freezer::Means::automatic, Freezer::Means::signals}) {
    Busy busy;
    SpawnOptions options;
    options.argv = {"true"};
    Child ended(options);
    Freezer freezer({ended.pid(), busy.shell.pid()}, "coldstart-unit-e" + std::to_string(::getpid()), means);
    while (!status_field(ended.pid(), "State").starts_with("Z")) ::poll(nullptr, 0, 1);
    const auto start = std::chrono::steady_clock::now();
    freezer.freeze();
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(1));
    busy.hear();
    CHECK(busy.hear().empty());
    freezer.thaw();
    CHECK(busy.hears_both());
    kill_tree(busy.shell.pid());  // before the freezer goes, so that its group is empty
    busy.shell.wait();
    busy.shell = Child();
  }
  Freezer::remove_group("coldstart-unit-e" + std::to_string(::getpid()));
}
