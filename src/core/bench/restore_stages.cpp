// SPDX-License-Identifier: Apache-2.0
// The stages of a restore, and the dump: sandbox, criu.dump, criu.restore, memory.
#include <unistd.h>

#include "core/bench/stages.h"
#include "core/bench/tools.h"
#include "core/checkpoint/manifest.h"
#include "core/memory/host_support.h"
#include "core/pipeline/snapshot.h"

namespace coldstart {

namespace {

/// A replica whose memory is all in place, to be dumped again and again; restored when it is first needed.
class Subject {
 public:
  explicit Subject(Fixtures& f) : f_(f), criu_(CriuHere::find(f.store()->root())) {}

  void restore() {
    if (front_) return;
    ReplicaSpec spec =
        restore_spec(*f_.store(), f_.snapshot().digest, restore_request(f_.snapshot(), "eager"));
    front_.emplace(f_.replicas(), spec);
    front_->wait_ready(f_.cancel());
    subject_ = {front_->pid(), f_.store()->root() / "replicas" / front_->id(), spec, {}};
    tcp_ = read_snapshot_manifest(*f_.store(), f_.snapshot().digest).tcp;
  }

  /// As `snapshot --leave-running` does it, into a store of its own.
  Run ours() {
    Chain chain(f_.quiet());
    const std::shared_ptr<Store> store = Store::open(f_.scratch("dumped"));
    take_snapshot(store, criu_, subject_, RefName::parse("bench"),
                  {.leave_running = true, .tcp_close = tcp_ == TcpPolicy::close}, chain, f_.quiet());
    Run run;
    double start = 0;
    for (const StageTime& stage : chain.times()) {
      run.stages.push_back({stage.name, start, stage.seconds, stage.bytes});
      start += stage.seconds;
      if (stage.name == "criu.dump") run.seconds = stage.seconds;
    }
    return run;
  }

  void criu_alone() {
    DumpOptions options;
    options.images = f_.scratch("dumped");
    options.log = f_.scratch("criu-dump.log");
    options.kernel_facts = criu_.kernel_facts;
    options.pid = Sandbox::pid_inside(subject_.pid);
    options.leave_running = true;
    options.tcp_close = tcp_ == TcpPolicy::close;
    options.tcp_established = tcp_ == TcpPolicy::established;
    criu_dump(
        criu_.program, options,
        [this](const ProgramSpec& program) { return start_in_namespaces_of(subject_.pid, program); },
        [](std::string_view) {}, f_.quiet().cancel);
  }

 private:
  Fixtures& f_;
  const CriuHere criu_;
  std::optional<ReplicaFront> front_;
  SnapshotSubject subject_;
  TcpPolicy tcp_ = TcpPolicy::none;
};

}  // namespace

std::vector<Case> sandbox_cases(Fixtures& f, BenchPart& part) {
  ReplicaCase ours;
  ours.name = "coldstart";
  ours.spec = [&f] {
    ReplicaSpec spec;
    spec.store = f.store()->root();
    spec.source = spec.rootfs = "/";
    spec.program.argv = {"true"};
    spec.program.environment = program_environment({});
    return spec;
  };
  std::vector<Case> cases = {replica_case(ours, f.replicas(), f.quiet())};
  const auto add = [&](const char* name, std::vector<std::string> argv) {
    cases.push_back({name, true, timed([argv = std::move(argv), &f] { run_tool(argv, f.cancel()); })});
  };
  if (have_tool("unshare", "util-linux", "unshare", part))
    add("unshare", {"unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "true"});
  if (have_tool("bwrap", "bubblewrap", "bwrap", part))
    add("bwrap", {"bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-pid",
                  "--unshare-ipc", "--unshare-uts", "true"});
  return cases;
}

std::vector<Case> criu_dump_cases(Fixtures& f, BenchPart&) {
  const auto subject = std::make_shared<Subject>(f);
  const auto set_up = [subject, folder = f.scratch("dumped")] {
    subject->restore();
    make_empty(folder);
  };
  return {{"coldstart", false, [subject] { return subject->ours(); }, set_up},
          {"criu", true, timed([subject] { subject->criu_alone(); }), set_up}};
}

std::vector<Case> criu_restore_cases(Fixtures& f, BenchPart&) {
  const SnapshotCases& cases = f.snapshot_cases();
  return {cases.restored("coldstart", f.snapshot().memory, false), cases.criu("criu", false, false)};
}

std::vector<Case> memory_cases(Fixtures& f, BenchPart& part) {
  if (f.snapshot().request.text.empty())
    throw Error::usage("there is no request to time: the snapshot has neither a warm-up nor a ready URL",
                       "--request URL");
  const SnapshotCases& cases = f.snapshot_cases();
  std::vector<Case> all = {cases.criu("criu", false), cases.criu("criu lazy-pages", true)};
  for (const char* mode : {"eager", "lazy", "shared"}) {
    try {
      choose_memory_mode(mode);
    } catch (const Error& e) {
      part.skipped.push_back({std::string("coldstart ") + mode, e.message()});
      continue;
    }
    all.push_back(cases.restored(std::string("coldstart ") + mode, mode));
  }
  return all;
}

}  // namespace coldstart
