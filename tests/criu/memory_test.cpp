// SPDX-License-Identifier: Apache-2.0
// Servers that run before their memory has come back: our page server behind CRIU's driver.
#include "core/memory/memory.h"

#include <csignal>
#include <cstdlib>

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/json.h"
#include "server.h"

using namespace coldstart;

namespace {

constexpr int port = 8000;

MemoryServer serve_memory(const Snapshot& snapshot, const Server& into) {
  const char* program = std::getenv("COLDSTART");
  REQUIRE(program != nullptr);
  MemoryServerOptions options;
  options.images = snapshot.images();
  options.work_folder = snapshot.folder.path();
  options.program = program;
  MemoryServer server(options);
  server.kill_also(into.box.init_pid());
  server.until_it_listens();
  return server;
}

}  // namespace

TEST_CASE("lazy memory: a threaded server and one of several processes answer as before") {
  for (const char* script : {"threads.py", "prefork.py"}) {
    CAPTURE(script);
    const std::string question = script == std::string("threads.py") ? "/add/0" : "/health";
    const char* fixed = script == std::string("threads.py") ? "digest" : "parent";
    Server first;
    first.start({"python3", first.with(script), std::to_string(port), "64"});
    const Json before = parse_json(first.box.ask_until_ready(port, question), "answer");
    Snapshot snapshot;
    snapshot.dump(first);
    snapshot.restore_options.lazy_pages = true;
    for (int i = 0; i < 2; ++i) {
      Server again;
      again.with(script);
      MemoryServer memory = serve_memory(snapshot, again);
      snapshot.restore(again);
      const Json after = parse_json(again.box.ask(port, question), "answer");
      CHECK(after[fixed] == before[fixed]);
      const MemoryStatistics served = memory.wait(snapshot.cancel);
      CHECK(served.processes >= 1);
      CHECK(served.bytes() > 0);
      CHECK(again.box.ask(port, question) != "");
    }
  }
}

TEST_CASE("lazy memory: when the page server is killed, the sandbox goes with it") {
  Server first;
  first.start({"python3", first.with("threads.py"), std::to_string(port), "400"});
  first.box.ask_until_ready(port, "/add/1");
  Snapshot snapshot;
  snapshot.dump(first);
  snapshot.restore_options.lazy_pages = true;
  Server again;
  again.with("threads.py");
  MemoryServer memory = serve_memory(snapshot, again);
  bool killed = false;
  // While CRIU waits for our leave, so that nothing has run yet.
  snapshot.restore(again, [&](std::string_view station) {
    if (station != "pre-resume") return;
    killed = ::syscall(SYS_pidfd_send_signal, memory.pidfd(), SIGKILL, nullptr, 0) == 0;
  });
  REQUIRE(killed);
  CHECK(again.process.wait().signal == SIGKILL);
  CHECK_THROWS_AS(memory.wait(snapshot.cancel), Error);
}

TEST_CASE("lazy memory: images that are not there are told before anything is restored") {
  const TempDir empty;
  Server box;
  MemoryServerOptions options;
  options.images = empty.path();
  options.work_folder = empty.path() / "none";
  options.program = std::getenv("COLDSTART");
  MemoryServer memory(options);
  CHECK_THROWS_AS(memory.until_it_listens(), Error);
}
