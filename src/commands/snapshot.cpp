// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/snapshot.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/commands.h"
#include "commands/replica_options.h"
#include "core/base/progress_task.h"
#include "core/checkpoint/verify_memory.h"
#include "core/image/image.h"
#include "core/memory/working_set.h"

namespace coldstart {

namespace {

struct Options {
  ReplicaOptions replica;
  ReadyOptions ready;
  std::string tag;
  std::vector<std::string> warmups;
  SnapshotEnding ending;
  std::string pre_snapshot;
  std::string gpu = "auto";
  double gpu_timeout = 10;
  std::string of_replica;
  pid_t of_pid = 0;
};

void show(Console& console, const RefName& reference, const SnapshotResult& result, const Chain& chain,
          double seconds) {
  for (const StageTime& stage : chain.times())
    console.note(fmt::format("{:12} {:>9}", stage.name, human_seconds(stage.seconds)));
  if (result.weights_bytes > 0)
    console.note(fmt::format("{} of memory are in the files of weights", human_bytes(result.weights_bytes)));
  console.line(fmt::format("{}  {}  {} process{}, {} of memory, {} new in the store, {}", reference.text(),
                           result.digest.text().substr(0, 19), result.processes,
                           result.processes == 1 ? "" : "es", human_bytes(result.memory_bytes),
                           human_bytes(result.new_bytes), human_seconds(seconds)));
  console.result({{"reference", reference.text()},
                  {"digest", result.digest.text()},
                  {"processes", result.processes},
                  {"memory_bytes", result.memory_bytes},
                  {"stored_bytes", result.stored_bytes},
                  {"new_bytes", result.new_bytes},
                  {"weights_bytes", result.weights_bytes},
                  {"stages", to_json(chain.times())},
                  {"seconds", seconds}});
}

/// What is known of a process tree that runs already.
SnapshotSubject running_subject(Session& session, const Options& options) {
  SnapshotSubject subject;
  if (!options.of_replica.empty()) {
    const Replicas replicas(session.store_root);
    const Replica replica = replicas.find_running(options.of_replica);
    subject.folder = replicas.folder(replica);
    subject.spec =
        ReplicaSpec::from_json(parse_json(read_text(subject.folder / "spec.json"), "spec.json"), "spec.json");
    subject.pid = replica.pid;
  } else {
    subject.pid = options.of_pid;
    if (start_time_of(subject.pid) == 0)
      throw Error::not_found(fmt::format("there is no process {}", subject.pid));
  }
  if (const auto ready = options.ready.chosen()) subject.spec.ready = *ready;
  return subject;
}

void snapshot(Session& session, const Options& options) {
  const auto began = std::chrono::steady_clock::now();
  const RefName reference = RefName::parse(options.tag);
  const GpuChoice gpu = parse_gpu_choice(options.gpu);
  const std::shared_ptr<Store> store = session.store();
  const CriuHere criu = CriuHere::find(store->root());
  Operation& op = session.operation();
  Chain chain(op);
  Replicas replicas(store->root());
  std::optional<ReplicaFront> front;  // ours until the snapshot is taken
  SnapshotSubject subject;
  if (options.of_replica.empty() && options.of_pid == 0) {
    ReplicaSpec spec = options.replica.spec(session, session.program);
    spec.ready = options.ready.chosen().value_or(Readiness());
    front.emplace(replicas, spec);
    {
      const ProgressTask task(op.progress, "starting", 0, Progress::Unit::steps);
      wait_ready(*front, chain, op);
    }
    if (front->ended()) throw Error("the program ended before its snapshot was taken");
    subject = {front->pid(), store->root() / "replicas" / front->id(), spec, {}};
  } else {
    subject = running_subject(session, options);
  }
  std::optional<Replica> ended;  // by the snapshot
  if (!options.of_replica.empty() && !options.ending.leave_running)
    ended = replicas.find_running(options.of_replica);
  subject.warmups = options.warmups;
  warm_up(subject, chain, op);
  run_pre_snapshot(subject, options.pre_snapshot, chain, op);
  SnapshotEnding ending = options.ending;
  ending.gpu = gpu;
  ending.gpu_timeout = std::chrono::milliseconds(static_cast<int64_t>(options.gpu_timeout * 1000));
  const SnapshotResult result = take_snapshot(store, criu, subject, reference, ending, chain, op);
  if (front && options.ending.leave_running) {
    session.console.note("it runs on as " + front->id());
    front->detach();
  }
  front.reset();
  // The dump has ended its processes. Who is told so should not find it running still.
  if (ended) replicas.stop(*ended, {}, op.cancel);
  show(session.console, reference, result, chain,
       std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
}

void list(Session& session) {
  const std::shared_ptr<Store> store = session.store();
  std::vector<std::vector<std::string>> rows;
  OrderedJson all = OrderedJson::array();
  for (const Ref& ref : store->refs(RefKind::snapshot)) {
    const SnapshotManifest m = read_snapshot_manifest(*store, ref.digest);
    rows.push_back({ref.name.text(), ref.digest.hex().substr(0, 12), std::to_string(m.processes),
                    human_bytes(m.memory_bytes), human_age(ref.created),
                    fmt::format("{}", fmt::join(m.command, " "))});
    all.push_back({{"reference", ref.name.text()},
                   {"digest", ref.digest.text()},
                   {"processes", m.processes},
                   {"memory_bytes", m.memory_bytes},
                   {"created", ref.created},
                   {"command", m.command}});
  }
  session.console.table({"REFERENCE", "DIGEST", ">PROCESSES", ">MEMORY", "TAKEN", "COMMAND"}, rows);
  session.console.result(all);
}

void inspect(Session& session, const std::string& which) {
  const std::shared_ptr<Store> store = session.store();
  const Ref ref = store->resolve(RefKind::snapshot, which);
  OrderedJson shown = OrderedJson::parse(read_snapshot_manifest(*store, ref.digest).to_json());
  shown["reference"] = ref.name.text();
  shown["digest"] = ref.digest.text();
  shown["created"] = ref.created;
  if (const auto set = read_working_set(store->root(), ref.digest))
    shown["working_set"] = {{"bytes", set->bytes()}, {"ranges", set->ranges.size()}};
  else
    shown["working_set"] = nullptr;
  session.console.line(shown.dump(2));
  session.console.result(shown);
}

void remove(Session& session, const std::vector<std::string>& which) {
  const std::shared_ptr<Store> store = session.store();
  std::vector<Ref> found;
  found.reserve(which.size());
  for (const std::string& one : which) found.push_back(store->resolve(RefKind::snapshot, one));
  OrderedJson removed = OrderedJson::array();
  for (const Ref& ref : found) {
    store->remove_ref(RefKind::snapshot, ref.name);
    session.console.line(ref.name.text());
    removed.push_back(ref.name.text());
  }
  session.console.result({{"removed", removed}});
}

/// Every byte of its memory and all its trees, its image's too.
void verify(Session& session, const std::string& which) {
  const std::shared_ptr<Store> store = session.store();
  const SnapshotManifest m = read_snapshot_manifest(*store, store->resolve(RefKind::snapshot, which).digest);
  std::vector<Digest> trees = {m.criu};
  for (const auto& [where, tree] : m.trees) trees.push_back(tree);
  if (m.image) trees.push_back(*m.image);
  VerifyResult all;
  const auto add = [&all](VerifyResult one) {
    all.chunks += one.chunks;
    std::move(one.corrupt.begin(), one.corrupt.end(), std::back_inserter(all.corrupt));
  };
  add(verify_memory(*store, m.memory, session.operation()));
  for (const Digest& tree : trees)
    add(verify_image(*store, open_image(*store, read_image_manifest(*store, tree)), 0, session.operation()));
  OrderedJson corrupt = OrderedJson::array();
  for (const auto& c : all.corrupt) {
    session.console.line(fmt::format("{}: {} (in {})", c.digest.text(), c.reason, fmt::join(c.files, ", ")));
    corrupt.push_back({{"digest", c.digest.text()}, {"reason", c.reason}, {"files", c.files}});
  }
  if (all.corrupt.empty()) session.console.line(fmt::format("{} chunks, all as they should be", all.chunks));
  session.console.result({{"ok", all.corrupt.empty()}, {"chunks", all.chunks}, {"corrupt", corrupt}});
  if (!all.corrupt.empty()) session.exit_status = static_cast<int>(Exit::corrupt);
}

void add_upkeep(CLI::App& command, Session& session) {
  command.add_subcommand("ls", "List the snapshots")->callback([&session] { list(session); });
  const auto one = [&](const char* name, const char* what, void (*run)(Session&, const std::string&)) {
    auto which = std::make_shared<std::string>();
    auto* sub = command.add_subcommand(name, what);
    sub->add_option("snapshot", *which, "Name or digest")->required()->type_name("SNAPSHOT");
    sub->callback([&session, which, run] { run(session, *which); });
  };
  one("inspect", "All that is known of a snapshot", inspect);
  one("verify", "Check every byte of a snapshot against its digest", verify);
  auto which = std::make_shared<std::vector<std::string>>();
  auto* rm = command.add_subcommand("rm", "Remove snapshots (their content goes with the next 'store gc')");
  rm->add_option("snapshot", *which, "Names")->required()->type_name("SNAPSHOT");
  rm->callback([&session, which] { remove(session, *which); });
}

}  // namespace

void add_snapshot(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command =
      app.add_subcommand("snapshot", "Start a server, wait until it is ready, and keep it as a snapshot");
  command->footer(
      "Examples:\n"
      "  coldstart snapshot llm:v1 -t llm:warm --ready http://127.0.0.1:8000/health -- python3 "
      "/srv/serve.py\n"
      "  coldstart snapshot --replica server -t llm:later --leave-running\n"
      "  coldstart snapshot ls");
  options->replica.add_root(*command);
  auto* tag = command->add_option("-t,--tag", options->tag, "Name of the snapshot")->type_name("NAME[:TAG]");
  options->ready.add(*command);
  command
      ->add_option("--warmup", options->warmups,
                   "URL to get, or shell command to run inside, once it is ready (repeatable)")
      ->type_name("URL|CMD")
      ->take_all()
      ->allow_extra_args(false);
  command
      ->add_option("--pre-snapshot", options->pre_snapshot,
                   "Shell command to run inside right before, for the server to drop what need not be kept")
      ->type_name("CMD");
  command->add_option("--gpu", options->gpu, "GPU state too: auto (if there is any), on, off")
      ->type_name("auto|on|off")
      ->capture_default_str();
  command->add_option("--gpu-timeout", options->gpu_timeout, "Seconds to wait for work that runs on the GPU")
      ->type_name("SECONDS")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--weights", options->ending.weights,
                   "File of tensors, as the server sees it: what memory has of it is not stored again "
                   "(repeatable)")
      ->type_name("FILE.safetensors")
      ->take_all()
      ->allow_extra_args(false);
  command->add_flag("--leave-running", options->ending.leave_running, "Let it run on after the snapshot");
  command->add_flag("--tcp-close", options->ending.tcp_close,
                    "TCP connections that are open come back closed");
  auto* replica = command->add_option("--replica", options->of_replica, "Snapshot a replica that runs")
                      ->type_name("REPLICA");
  command->add_option("--pid", options->of_pid, "Snapshot a process of the host that runs, with its children")
      ->type_name("PID")
      ->check(CLI::PositiveNumber)
      ->excludes(replica);
  options->replica.add_place(*command);
  session.takes_program(command);
  add_upkeep(*command, session);
  command->require_subcommand(0, 1);
  command->callback([&session, options, command, tag] {
    if (!command->get_subcommands().empty()) return;
    if (tag->count() == 0) throw Error::usage("a snapshot needs a name", "-t NAME[:TAG]");
    snapshot(session, *options);
  });
}

}  // namespace coldstart
