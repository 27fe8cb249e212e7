// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/manifest.h"

#include <doctest/doctest.h>

using namespace coldstart;

namespace {

SnapshotManifest example() {
  SnapshotManifest m;
  m.criu = Digest::of(as_bytes("criu"));
  m.memory = {5, {Digest::of(as_bytes("map"))}};
  m.trees = {{"/", Digest::of(as_bytes("upper"))}, {"/dev/shm", Digest::of(as_bytes("shm"))}};
  m.image = Digest::of(as_bytes("image"));
  m.trace = Digest::of(as_bytes("trace"));
  m.binds = {"/models"};
  m.command = {"python3", "/srv/server.py"};
  m.net = Net::isolated;
  m.ready = {Readiness::Kind::url, "http://127.0.0.1:8000/health"};
  m.warmups = {"curl localhost"};
  m.root_pid = 2;
  m.stdio = {"", "pipe:[12]", "pipe:[13]"};
  m.processes = 3;
  m.memory_bytes = 1 << 30;
  m.host = HostFacts::here("4.2");
  return m;
}

/// What reading the example gives after `change` was made to its JSON.
Exit status_after(const std::function<void(Json&)>& change) {
  Json json = Json::parse(example().to_json());
  change(json);
  try {
    SnapshotManifest::from_json(json.dump(), "test");
    return Exit::ok;
  } catch (const Error& e) {
    return e.exit();
  }
}

}  // namespace

TEST_CASE("a snapshot's manifest survives its JSON form") {
  const SnapshotManifest a = example();
  const SnapshotManifest b = SnapshotManifest::from_json(a.to_json(), "test");
  CHECK(a.to_json() == b.to_json());
  CHECK(b.memory.name() == a.memory.name());
  CHECK(b.trees == a.trees);
  CHECK(b.image == a.image);
  CHECK(b.trace == a.trace);
  CHECK(b.ready.value == a.ready.value);
  CHECK(b.root_pid == 2);
}

TEST_CASE("fault 7: a manifest that is none is refused as corrupt") {
  CHECK(status_after([](Json&) {}) == Exit::ok);
  CHECK(status_after([](Json& j) { j["format"] = "coldstart snapshot 3"; }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j["format"] = "coldstart snapshot 1"; }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j.erase("memory"); }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j["memory"]["bytes"] = 1 << 25; }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j.erase("criu"); }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j["criu"] = "sha256:12"; }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j["trees"] = 5; }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j["trees"]["/../etc"] = j["criu"]; }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j["stdio"].push_back("pipe:[1]"); }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j["root_pid"] = 1; }) == Exit::corrupt);
  CHECK(status_after([](Json& j) { j["processes"] = "three"; }) == Exit::corrupt);
}

TEST_CASE("a command that JSON cannot hold is refused, not mangled") {
  SnapshotManifest m = example();
  m.command.push_back("caf\xe9");
  CHECK_THROWS_AS(m.to_json(), Error);
}
