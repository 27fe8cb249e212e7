// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/commands.h"
#include "commands/pool_commands.h"
#include "core/pipeline/snapshot.h"
#include "core/pool/client.h"
#include "core/sandbox/replica.h"

namespace coldstart {

namespace {

using std::chrono::milliseconds;

struct Options {
  std::string snapshot;
  ReplicaOptions place;
  std::string memory = "auto";
  bool no_pool = false;
};

/// A replica that was launched.
struct Launched {
  std::string id;
  pid_t pid = 0;
  std::vector<std::string> ports;
  std::string pool;  ///< the one it is from; empty: it was restored
};

/// Asks once more what the snapshot was ready by: what a claim hands out is well, but was frozen until now.
void require_ready(const SnapshotManifest& manifest, const Launched& one, const CancelToken& cancel) {
  if (manifest.ready.kind != Readiness::Kind::url && manifest.ready.kind != Readiness::Kind::command) return;
  const Fd netns = open_file(fmt::format("/proc/{}/ns/net", one.pid), O_RDONLY);
  const Fd pidfd = open_pidfd(one.pid);
  ReadyTarget target;
  target.netns = netns.get();
  target.ended_fd = pidfd.get();
  target.environment = manifest.environment;
  target.start = [&](const ProgramSpec& program) { return start_in_namespaces_of(one.pid, program); };
  wait_until_ready(manifest.ready, target, cancel);
}

/// From a pool of that very snapshot that has an idle slot; nothing if there is none.
std::optional<Launched> from_pool(Session& session, const Digest& snapshot, const SnapshotManifest& manifest,
                                  Chain& chain) {
  constexpr milliseconds answer_time(10000);
  for (const PoolEntry& pool : PoolDirectory(session.store_root).list()) {
    if (pool.digest != snapshot.text()) continue;
    const std::string document = "the pool's answer";
    Launched one;
    try {
      chain.stage("claim", [&](StageTime&) {
        const Json json = ask_pool(pool, "POST", "/v1/claim", {{"timeout", 0}}, answer_time, session.cancel);
        one = {field<std::string>(json, "id", document), field<pid_t>(json, "pid", document),
               field<std::vector<std::string>>(json, "ports", document), pool.name};
      });
    } catch (const Error& e) {
      session.cancel.check();
      session.console.note(fmt::format("the pool {} gives none: {}", pool.name, e.message()));
      continue;
    }
    chain.stage("ready", [&](StageTime&) { require_ready(manifest, one, session.cancel); });
    return one;
  }
  return std::nullopt;
}

Launched by_restoring(Session& session, const Options& options, const Digest& snapshot,
                      const SnapshotManifest& manifest, Chain& chain) {
  Replicas replicas(session.store()->root());
  RestoreRequest request = slot_request(options.snapshot, options.place, options.memory, manifest);
  request.name = options.place.name;
  ReplicaSpec spec = restore_spec(*session.store(), snapshot, request);
  ReplicaFront front(replicas, spec);
  wait_ready(front, chain, session.operation());
  Launched one{front.id(), front.pid(), {}, {}};
  for (const PortMapping& port : replicas.find(one.id).ports) one.ports.push_back(port.text());
  front.detach();
  return one;
}

void launch(Session& session, const Options& options) {
  const std::shared_ptr<Store> store = session.store();
  const Digest snapshot = store->resolve(RefKind::snapshot, options.snapshot).digest;
  const SnapshotManifest manifest = read_snapshot_manifest(*store, snapshot);
  Chain chain(session.operation());
  // A slot is as its pool has made it: who wants it otherwise gets one of his own.
  const ReplicaOptions& place = options.place;
  const bool any = !options.no_pool && place.name.empty() && place.net.empty() && place.ports.empty() &&
                   place.binds.empty();
  std::optional<Launched> one;
  if (any) one = from_pool(session, snapshot, manifest, chain);
  if (!one) one = by_restoring(session, options, snapshot, manifest, chain);
  for (const StageTime& stage : chain.times())
    session.console.note(fmt::format("{:12} {:>9}", stage.name, human_seconds(stage.seconds)));
  session.console.line(fmt::format("{}  ready in {}{}{}", one->id, human_seconds(chain.seconds()),
                                   one->ports.empty() ? "" : "  ", fmt::join(one->ports, " ")));
  session.console.result({{"id", one->id},
                          {"pid", one->pid},
                          {"ports", one->ports},
                          {"pool", one->pool},
                          {"ready_seconds", chain.seconds()},
                          {"stages", to_json(chain.times())}});
}

}  // namespace

void add_launch(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "launch", "Start a snapshot the fastest way there is: from a pool, or by restoring it");
  command->footer(
      "Examples:\n"
      "  coldstart launch llm:warm\n"
      "  coldstart launch llm:warm --no-pool --name one");
  command->add_option("snapshot", options->snapshot, "Name or digest")->required()->type_name("SNAPSHOT");
  command->add_flag("--no-pool", options->no_pool, "Restore it, even if a pool has it");
  command->add_option("--memory", options->memory, "How memory comes back, as for restore")
      ->type_name("MODE")
      ->capture_default_str();
  options->place.add_place(*command);
  command->callback([&session, options] { launch(session, *options); });
}

}  // namespace coldstart
