// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/replica.h"

#include <ctime>

#include <doctest/doctest.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/sandbox/supervisor.h"

using namespace coldstart;

namespace {

Exit exit_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& e) {
    return e.exit();
  }
  return Exit::ok;
}

Replica named(const std::string& name) {
  Replica r;
  r.name = name;
  r.command = {"sleep", "1"};
  r.ports = {PortMapping{"", 8080, 80}};
  r.net = Net::isolated;
  return r;
}

}  // namespace

TEST_CASE("a replica is found by id, prefix and name, and is lost once nobody holds its lock") {
  const TempDir store;
  Replicas replicas(store.path());
  CHECK(replicas.list(true).empty());
  Replica web = named("web");
  {
    const ReplicaFolder held = replicas.create(web);
    CHECK(web.id.size() == 12);
    CHECK(replicas.find("web").id == web.id);
    CHECK(replicas.find(web.id.substr(0, 5)).name == "web");
    CHECK(replicas.find(web.id).to_json() == web.to_json());
    CHECK(replicas.find(web.id).state == ReplicaState::starting);
    CHECK(exit_of([&] { replicas.find("other"); }) == Exit::not_found);
    CHECK(exit_of([&] { replicas.find(""); }) == Exit::not_found);
    CHECK(exit_of([&] { replicas.find_running("web"); }) == Exit::failed);

    Replica again = named("web");
    CHECK(exit_of([&] { replicas.create(again); }) == Exit::failed);
    Replica strange = named("no/name");
    CHECK(exit_of([&] { replicas.create(strange); }) == Exit::usage);
  }
  CHECK(replicas.find("web").state == ReplicaState::lost);
  Replica again = named("web");
  const ReplicaFolder held = replicas.create(again);
  CHECK(replicas.find("web").id == again.id);
}

TEST_CASE("leftovers of the dead are collected, and only the newest that ended are kept") {
  const TempDir store;
  Replicas replicas(store.path());
  Replica live = named("live");
  const ReplicaFolder held = replicas.create(live);
  make_folders(held.scratch() / "upper");
  for (int i = 0; i < 25; ++i) {
    Replica r = named("");
    const ReplicaFolder folder = replicas.create(r);
    make_folders(folder.scratch() / "upper");
    r.created = i;
    r.state = ReplicaState::exited;
    r.exit = ExitState{3, 0};
    write_state(folder.path(), r);
  }
  replicas.collect();
  const std::vector<Replica> all = replicas.list(true);
  CHECK(all.size() == 21);
  CHECK(all.front().id == live.id);
  CHECK(all.back().created == 5);
  CHECK(all.back().exit->code == 3);
  CHECK(std::filesystem::exists(held.scratch() / "upper"));
  CHECK_FALSE(std::filesystem::exists(replicas.folder(all.back()) / "scratch"));
  CHECK(replicas.list(false).size() == 1);
}

TEST_CASE("a spec survives its way to the supervisor") {
  ReplicaSpec spec;
  spec.store = "/store";
  spec.id = "0123456789ab";
  spec.image = Digest::of(as_bytes("x"));
  spec.binds = {{"/a:b", "/c", true}};
  spec.net = Net::none;
  spec.ports = {PortMapping{"::1", 1, 2}};
  spec.program.argv = {"a", "b c", "ü"};
  spec.program.environment = {"K=V"};
  spec.program.pid_inside = 77;
  spec.ready = {Readiness::Kind::log, "up", std::chrono::milliseconds(1500)};
  spec.launch = {{"kind", "restore"}, {"more", {1, 2}}};
  const std::string text = spec.to_json().dump();
  CHECK(ReplicaSpec::from_json(parse_json(text, "spec"), "spec").to_json().dump() == text);
  CHECK(exit_of([] { ReplicaSpec::from_json(Json::object(), "spec"); }) == Exit::corrupt);
}

TEST_CASE("the environment of programs: defaults, and the last one wins") {
  const auto environment = program_environment({"A=1", "TERM=dumb", "A=2=3"});
  CHECK(environment ==
        std::vector<std::string>{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                 "HOME=/root", "TERM=dumb", "A=2=3"});
  CHECK(exit_of([] { program_environment({"=x"}); }) == Exit::usage);
  CHECK(exit_of([] { program_environment({"x"}); }) == Exit::usage);
}
