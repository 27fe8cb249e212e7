// SPDX-License-Identifier: Apache-2.0
// Servers dumped from inside their namespaces and restored, as often as wanted and at once, into fresh ones.

#include <csignal>
#include <cstdlib>

#include <doctest/doctest.h>

#include "core/base/json.h"
#include "core/checkpoint/images.h"
#include "server.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

constexpr int port = 8000;

}  // namespace

TEST_CASE("a threaded server comes back twice at once, each with its state and its own life") {
  Server first;
  first.start({"python3", first.with("threads.py"), std::to_string(port), "20"});
  const Json before = parse_json(first.box.ask_until_ready(port, "/add/5"), "answer");
  Snapshot snapshot;
  snapshot.dump(first);
  CHECK(first.process.wait().signal == SIGKILL);
  CHECK(summarize_images(snapshot.images()).memory_bytes() > (size_t{20} << 20));
  CHECK_FALSE(fs::exists(snapshot.folder.path() / "dump.log"));

  Server a, b;
  a.with("threads.py");
  b.with("threads.py");
  snapshot.restore(a);
  snapshot.restore(b);
  const Json one = parse_json(a.box.ask(port, "/add/2"), "answer");
  const Json two = parse_json(b.box.ask(port, "/add/3"), "answer");
  CHECK(one["counter"] == 7);
  CHECK(two["counter"] == 8);
  CHECK(one["digest"] == before["digest"]);
  CHECK(two["digest"] == before["digest"]);
  CHECK(Sandbox::pid_inside(a.process.pid()) == Sandbox::pid_inside(b.process.pid()));
}

TEST_CASE("a server of several processes comes back whole") {
  Server first;
  first.start({"python3", first.with("prefork.py"), std::to_string(port)});
  first.box.ask_until_ready(port, "/health");
  const Json before = parse_json(first.box.ask(port, "/health"), "answer");
  Snapshot snapshot;
  snapshot.dump(first);
  const ImagesSummary summary = summarize_images(snapshot.images());
  CHECK(summary.processes.size() == 3);
  CHECK(summary.processes[1].parent == summary.processes[0].pid);

  Server again;
  again.with("prefork.py");
  snapshot.restore(again);
  const Json after = parse_json(again.box.ask(port, "/"), "answer");
  CHECK(after["parent"] == before["parent"]);
  // The parent still replaces a worker that dies, so it is a parent still.
  const std::string killed = std::to_string(after["pid"].get<int>());
  ProgramSpec kill;
  kill.argv = {"kill", killed};
  kill.environment = {"PATH=/usr/bin:/bin"};
  again.box.start(kill).wait();
  CHECK(again.read_line().starts_with("worker "));
  again.process.kill(SIGTERM);
  CHECK(again.process.wait().ok());
}

TEST_CASE("a node server comes back with its counter") {
  Server first;
  first.start({"node", first.with("node.js"), std::to_string(port)});
  CHECK(first.box.ask_until_ready(port, "/add/4") == R"({"counter":4})");
  Snapshot snapshot;
  snapshot.dump(first);
  Server again;
  again.with("node.js");
  snapshot.restore(again);
  CHECK(again.box.ask(port, "/add/1") == R"({"counter":5})");
  again.process.kill(SIGTERM);
  CHECK(again.process.wait().ok());
}

TEST_CASE("what a restored process writes comes out of our pipe") {
  Server first;
  first.start({"sh", "-c", "n=0; while sleep 0.05; do n=$((n + 1)); echo line $n; done"});
  CHECK(first.read_line() == "line 1");
  Snapshot snapshot;
  snapshot.dump(first);
  Server again;
  snapshot.restore(again);
  const std::string line = again.read_line();
  CHECK(line.starts_with("line "));
  CHECK(line != "line 1");
}

TEST_CASE("redis comes back with its data") {
  const auto start_in = [](Server& server) {
    // One program under several names; this one comes in the package that starts no service.
    fs::create_symlink("/usr/bin/redis-check-rdb", server.box.inside("/tmp/redis-server"));
  };
  Server first;
  start_in(first);
  first.start({"/tmp/redis-server", "--port", std::to_string(port), "--save", ""});
  for (std::string line = "-"; !line.empty() && line.find("Ready to accept") == std::string::npos;)
    line = first.read_line();
  CHECK(first.box.talk(port, "SET answer 42\r\n", true) == "+OK\r\n");
  Snapshot snapshot;
  snapshot.dump(first);
  Server again;
  start_in(again);
  snapshot.restore(again);
  CHECK(again.box.talk(port, "INCR answer\r\n", true) == ":43\r\n");
}

TEST_CASE("CRIU works where there is not even a C library") {
  const char* rootfs = std::getenv("COLDSTART_TEST_ROOTFS");
  if (rootfs == nullptr) {
    MESSAGE("COLDSTART_TEST_ROOTFS, a root with static programs, is not set");
    return;
  }
  Server first(rootfs);
  CHECK_FALSE(fs::exists(first.box.inside("/lib")));
  first.start({"sh", "-c", "n=0; while sleep 0.05; do n=$((n + 1)); echo line $n; done"});
  CHECK(first.read_line() == "line 1");
  Snapshot snapshot;
  snapshot.dump(first);
  Server again(rootfs);
  snapshot.restore(again);
  CHECK(again.read_line().starts_with("line "));
}

TEST_CASE("a server on the host's own root comes back twice at once") {
  Server first("");
  const std::string program = std::string(COLDSTART_SOURCE_DIR) + "/tests/e2e/servers/threads.py";
  first.start({"python3", program, std::to_string(port), "5"});
  const Json before = parse_json(first.box.ask_until_ready(port, "/add/5"), "answer");
  Snapshot snapshot;
  snapshot.dump(first);
  Server a(""), b("");
  snapshot.restore(a);
  snapshot.restore(b);
  for (const Server* server : {&a, &b}) {
    const Json after = parse_json(server->box.ask(port, "/add/1"), "answer");
    CHECK(after["counter"] == 6);
    CHECK(after["digest"] == before["digest"]);
  }
}
