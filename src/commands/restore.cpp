// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/restore.h"

#include <fmt/format.h>

#include "commands/commands.h"
#include "commands/replica_options.h"
#include "core/base/progress_task.h"
#include "core/pipeline/snapshot.h"

namespace coldstart {

namespace {

struct Options {
  std::string snapshot;
  ReplicaOptions place;
  ReadyOptions ready;
  std::string memory = "auto";
  std::vector<std::string> record;
  std::string post_restore;
  std::optional<uint64_t> memory_cache;
  std::string gpu_map;
  unsigned replicas = 1;
  bool detach = false;
  bool no_wait = false;
};

/// One replica that was asked for.
struct Started {
  ReplicaFront front;
  std::vector<StageTime> stages;
  double seconds;
};

std::string name_of(const std::string& name, unsigned number, unsigned of) {
  return name.empty() || of == 1 ? name : fmt::format("{}-{}", name, number + 1);
}

RestoreRequest request_of(const Options& options) {
  RestoreRequest request;
  request.source = options.snapshot;
  request.net = options.place.chosen_net();
  request.ports = options.place.chosen_ports();
  request.binds = options.place.chosen_binds();
  request.memory = options.memory;
  request.record = options.record;
  request.post_restore = options.post_restore;
  request.memory_cache = options.memory_cache;
  request.gpu_map = options.gpu_map;
  request.ready = options.ready.chosen();
  if (options.no_wait) request.ready = Readiness();
  return request;
}

/// All at once: they are started before the first is waited for.
std::vector<Started> start_all(Session& session, const Options& options) {
  const auto began = std::chrono::steady_clock::now();
  const std::shared_ptr<Store> store = session.store();
  const Digest snapshot = store->resolve(RefKind::snapshot, options.snapshot).digest;
  RestoreRequest request = request_of(options);
  Replicas replicas(store->root());
  std::vector<Started> started;
  GpuPlan gpu_plan;
  request.gpu_plan = &gpu_plan;
  for (unsigned i = 0; i < options.replicas; ++i) {
    request.name = name_of(options.place.name, i, options.replicas);
    ReplicaSpec spec = restore_spec(*store, snapshot, request);
    spec.stdin_from_caller = spec.output_to_caller = !options.detach;
    started.push_back({ReplicaFront(replicas, spec), {}, 0});
  }
  // What a replica in the foreground says has the terminal to itself.
  NoProgress silent;
  const ProgressTask task(options.detach ? session.operation().progress : silent, "restoring", 0,
                          Progress::Unit::steps);
  for (Started& one : started) {
    Chain chain(session.operation());
    wait_ready(one.front, chain, session.operation());
    one.stages = chain.times();
    one.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
  return started;
}

void restore(Session& session, const Options& options) {
  if (options.replicas > 1 && !options.detach)
    throw Error::usage("several replicas cannot all be in the foreground", "add -d");
  if (options.replicas > 1 && !options.place.ports.empty())
    throw Error::usage("several replicas cannot all have one port",
                       "restore them one by one, each with its -p");
  std::vector<Started> started = start_all(session, options);
  if (!options.detach) {
    session.exit_status = attend(started.front().front);
    return;
  }
  OrderedJson list = OrderedJson::array();
  for (Started& one : started) {
    one.front.detach();
    session.console.line(fmt::format("{}  ready in {}", one.front.id(), human_seconds(one.seconds)));
    list.push_back({{"id", one.front.id()},
                    {"pid", one.front.pid()},
                    {"ready_seconds", one.seconds},
                    {"stages", to_json(one.stages)}});
  }
  session.console.result({{"replicas", list}});
}

}  // namespace

void add_restore(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("restore", "Bring a snapshot back to life, as often as wanted");
  command->footer(
      "Examples:\n"
      "  coldstart restore llm:warm -d\n"
      "  coldstart restore llm:warm -d -n 2 --net private\n"
      "  coldstart restore llm:warm -d --net private -p 8001:8000 --name one");
  command->add_option("snapshot", options->snapshot, "Name or digest")->required()->type_name("SNAPSHOT");
  command->add_flag("-d,--detach", options->detach, "Return once it is ready; see ps, logs, stop, exec");
  command->add_option("-n,--replicas", options->replicas, "How many")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      ->add_option(
          "--memory", options->memory,
          "How memory comes back: auto, eager (all of it first), lazy (while it runs), shared (lazy, "
          "from one copy that all replicas map)")
      ->type_name("MODE")
      ->capture_default_str();
  command
      ->add_option(
          "--record", options->record,
          "URL to get, or shell command to run inside, once it is ready (repeatable): what they touch "
          "is brought first by later restores")
      ->type_name("URL|CMD")
      ->take_all()
      ->allow_extra_args(false);
  command
      ->add_option("--post-restore", options->post_restore,
                   "Shell command to run inside before it is asked whether it is ready")
      ->type_name("CMD");
  command
      ->add_option("--memory-cache", options->memory_cache,
                   "Memory that such copies may take on this host, in use or not (default: 40% of all)")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false));
  command
      ->add_option("--gpu-map", options->gpu_map,
                   "GPUs to use in place of those of the snapshot; else the same, or others of their kind")
      ->type_name("OLD=NEW[,...]");
  command->add_flag("--no-wait", options->no_wait, "Do not wait until it is ready, only until it runs");
  options->ready.add(*command);
  options->place.add_place(*command);
  command->callback([&session, options] { restore(session, *options); });
}

}  // namespace coldstart
