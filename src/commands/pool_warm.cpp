// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "cli/log_file.h"
#include "commands/pool_commands.h"
#include "core/gpu/gpu_watch.h"
#include "core/pipeline/restore.h"
#include "core/pool/directory.h"
#include "core/pool/listener.h"
#include "core/pool/replica_slot.h"
#include "core/pool/service.h"

namespace coldstart {

namespace {

struct Options {
  std::string snapshot;
  std::string pool_name;
  ReplicaOptions place;
  std::string memory = "auto", level = "frozen", listen;
  PoolOptions pool;
  double target = 0;
  std::string health_command;
  double health_timeout = 10;
  std::vector<uid_t> users;
  bool detach = false;
};

/// A pool that is to be served, with all that can be wrong found out.
struct Prepared {
  PoolDirectory directory;
  FileLock lock;
  PoolEntry entry;
  PoolServiceOptions service;
};

std::vector<Fd> sockets_of(const Options& options, const PoolDirectory& directory, PoolEntry& entry) {
  std::vector<Fd> sockets = inherited_sockets();
  const std::string listen =
      !options.listen.empty() ? options.listen : "unix:" + (directory.folder(entry.name) / "socket").string();
  const ListenAddress address = ListenAddress::parse(listen);
  entry.listen = address.text();
  if (sockets.empty()) sockets.push_back(listen_on(address, !options.users.empty()));
  return sockets;
}

Prepared prepare(Session& session, Options& options) {
  if (options.pool.max < options.pool.min)
    throw Error::usage(fmt::format("--max {} is less than --min {}", options.pool.max, options.pool.min));
  if (options.target > 0) options.pool.target_hit_rate = options.target;
  const std::shared_ptr<Store> store = session.store();
  const Ref ref = store->resolve(RefKind::snapshot, options.snapshot);
  const SnapshotManifest manifest = read_snapshot_manifest(*store, ref.digest);
  const RestoreRequest request = slot_request(options.snapshot, options.place, options.memory, manifest);
  for (const PortMapping& port : request.ports)
    if (port.host != 0 && options.pool.max > 1)
      throw Error::usage(fmt::format("the slots cannot all have the port {}", port.host),
                         fmt::format("-p 0:{} gives each a free one", port.inside));
  restore_spec(*store, ref.digest, request);  // says now what would make every slot fail
  ReplicaSlotOptions slots;
  slots.level = slot_level(options.level);
  slots.health_command = options.health_command;
  slots.health_timeout = std::chrono::milliseconds(std::llround(options.health_timeout * 1000));
  options.pool.slot_bytes = manifest.memory_bytes;

  PoolDirectory directory(store->root());
  PoolEntry entry;
  entry.name = options.pool_name.empty() ? PoolDirectory::name_for(ref.name.text()) : options.pool_name;
  PoolDirectory::check_name(entry.name);
  entry.snapshot = options.snapshot;
  entry.digest = ref.digest.text();
  Prepared prepared{directory, directory.lock(entry.name), entry, {}};
  PoolServiceOptions& service = prepared.service;
  service.pool = options.pool;
  service.name = entry.name;
  service.folder = directory.folder(entry.name);
  service.users = options.users;
  service.sockets = sockets_of(options, directory, prepared.entry);
  const auto replicas = std::make_shared<Replicas>(store->root());
  replicas->collect();
  std::shared_ptr<GpuWatch> gpus;
  if (!manifest.gpu.is_null()) {
    gpus = std::make_shared<GpuWatch>(
        std::chrono::milliseconds(std::llround(options.pool.health_seconds * 2000)));
    slots.host_check = [gpus, facts = manifest.gpu](const ReplicaSpec& spec, bool at_once) {
      require_well(gpus_of_request(facts, spec.launch.at("gpu")), at_once ? gpus->known_ill() : gpus->ill());
    };
  }
  service.make = [store, replicas, request, slots, gpus, digest = ref.digest] {
    RestoreRequest asked = request;
    if (gpus) asked.gpus_ill = gpus->ill();
    return make_replica_slot(*replicas, restore_spec(*store, digest, asked), slots);
  };
  service.find = [replicas](const SlotIdentity& identity) { return adopt_replica_slot(*replicas, identity); };
  return prepared;
}

void serve(Session& session, Prepared prepared, const std::function<void(const PoolEntry&)>& ready) {
  prepared.entry.pid = ::getpid();
  prepared.service.on_ready = [&] {
    prepared.directory.publish(prepared.entry);
    notify_systemd("READY=1");
    ready(prepared.entry);
  };
  run_pool_service(std::move(prepared.service), session.cancel);
  if (session.cancel.signal() != 0) session.cancel.check();
}

void tell(Session& session, const PoolEntry& entry) {
  session.console.line(fmt::format("{}  {}", entry.name, entry.listen));
  session.console.result({{"name", entry.name}, {"listen", entry.listen}, {"pid", entry.pid}});
  session.console.flush();
}

/// In the child: no terminal, what is said goes to the pool's log; `tell_parent` gets the entry once it
/// answers.
[[noreturn]] void be_service(Session& session, Prepared prepared, Fd tell_parent) {
  int status = 0;
  const std::filesystem::path log = prepared.service.folder / "service.log";
  try {
    ::setsid();
    const Fd null = open_file("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) check(::dup2(null.get(), fd), "cannot leave the terminal");
    log_to_file(log, "pool");
    serve(session, std::move(prepared), [&](const PoolEntry&) {
      write_full(tell_parent.get(), as_bytes("ready"));
      tell_parent.reset();
    });
  } catch (const Error& e) {
    spdlog::error("{}", e.message());
    status = static_cast<int>(e.exit());
    if (tell_parent) write_full(tell_parent.get(), as_bytes(to_json(e).dump()));
  } catch (const std::exception& e) {
    spdlog::error("{}", e.what());
    status = 1;
  }
  ::_exit(status);
}

void detach(Session& session, Prepared prepared) {
  session.console.flush();
  PoolEntry entry = prepared.entry;
  Pipe pipe = make_pipe();
  entry.pid = check(::fork(), "cannot start the service");
  if (entry.pid == 0) {
    pipe.read.reset();
    be_service(session, std::move(prepared), std::move(pipe.write));
  }
  pipe.write.reset();
  Bytes answer(size_t{64} << 10);
  answer.resize(read_full(pipe.read.get(), answer));
  if (as_text(answer) == "ready") {
    tell(session, entry);
    return;
  }
  const std::string document = "the service's answer";
  if (answer.empty())
    throw Error("the pool's service died",
                "its log is " + (prepared.service.folder / "service.log").string());
  throw error_from_json(parse_json(as_text(answer), document), document);
}

void warm(Session& session, Options options) {
  Prepared prepared = prepare(session, options);
  if (options.detach)
    detach(session, std::move(prepared));
  else
    serve(session, std::move(prepared), [&](const PoolEntry& entry) { tell(session, entry); });
}

void add_sizes(CLI::App& command, Options& options) {
  command.add_option("--min", options.pool.min, "Idle slots to keep")
      ->type_name("N")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str();
  command.add_option("--max", options.pool.max, "Most idle slots, however many claims come")
      ->type_name("N")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command
      .add_option("--target-hit-rate", options.target,
                  "Keep as many, from --min to --max, as this part of claims needs")
      ->type_name("P")
      ->check(CLI::Range(0.0, 0.999999));
  command.add_option("--at-once", options.pool.at_once, "Slots that are made at the same time")
      ->type_name("N")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.add_option("--max-age", options.pool.max_age, "Replace idle slots that are older (0: never)")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void add_health(CLI::App& command, Options& options) {
  command
      .add_option("--health-cmd", options.health_command,
                  "A slot is well if this shell command succeeds inside")
      ->type_name("CMD");
  command
      .add_option("--health-interval", options.pool.health_seconds, "Time between two checks of an idle slot")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  command.add_option("--health-timeout", options.health_timeout, "Time that a check may take")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
}

}  // namespace

void add_pool_warm(CLI::App& pool, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = pool.add_subcommand("warm", "Keep idle slots of a snapshot ready: a service");
  command->footer(
      "Examples:\n"
      "  coldstart pool warm llm:warm --min 4 -d\n"
      "  coldstart pool warm llm:warm --min 1 --max 20 --target-hit-rate 0.99 --listen 127.0.0.1:7070");
  command->add_option("snapshot", options->snapshot, "Name or digest")->required()->type_name("SNAPSHOT");
  command->add_flag("-d,--detach", options->detach, "Return once it answers");
  command->add_option("--name", options->pool_name, "Name of the pool (default: the snapshot's)")
      ->type_name("NAME");
  command
      ->add_option("--level", options->level,
                   "How slots wait: frozen (restored), or slot (all but the processes)")
      ->type_name("LEVEL")
      ->capture_default_str();
  add_sizes(*command, *options);
  add_health(*command, *options);
  command->add_option("--listen", options->listen, "Where it answers (default: a socket in the store)")
      ->type_name("unix:PATH|HOST:PORT");
  command
      ->add_option("--allow-uid", options->users,
                   "User who may use the unix socket, beside root (repeatable)")
      ->type_name("UID")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--memory", options->memory, "How memory comes back, as for restore")
      ->type_name("MODE")
      ->capture_default_str();
  options->place.add_surroundings(*command);
  options->place.add_publish(*command);
  command->callback([&session, options] { warm(session, *options); });
}

}  // namespace coldstart
