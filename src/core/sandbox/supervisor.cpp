// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/supervisor.h"

#include <cerrno>
#include <csignal>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/late_library.h"
#include "core/base/log.h"
#include "core/imagefs/imagefs.h"
#include "core/sandbox/caller_link.h"
#include "core/sandbox/freezer.h"
#include "core/sandbox/replica.h"
#include "core/sandbox/replica_image.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* dump_lock = "dump.lock";

/// STORE/replicas/ID/scratch, removed at the end.
class Scratch {
 public:
  explicit Scratch(fs::path path) : path_(std::move(path)) {
    for (const char* folder : {"upper", "image"}) make_folders(path_ / folder, 0755);
  }
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    ::umount2(path_.c_str(), MNT_DETACH);  // only if in_memory()
    std::error_code error;
    fs::remove_all(path_, error);
    if (error) log::warn("cannot remove {}: {}", path_.string(), error.message());
  }
  const fs::path& path() const { return path_; }

  /// An overlay cannot write to an overlay: on a store that lies on one, what is written stays in memory.
  static void in_memory_if_needed(const fs::path& path) {
    constexpr decltype(statfs::f_type) overlay_magic = 0x794c7630;
    make_folders(path);
    struct statfs info {};
    check(::statfs(path.c_str(), &info), "cannot examine " + path.string());
    if (info.f_type == overlay_magic)
      check(::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID, "mode=700"), "cannot mount a tmpfs");
  }

 private:
  fs::path path_;
};

/// libcurl takes some milliseconds to load: for who will ask a URL once the program runs, they pass
/// meanwhile.
class CurlAhead {
 public:
  explicit CurlAhead(const Readiness& ready) {
    if (ready.kind == Readiness::Kind::url) thread_ = std::jthread(load);
  }

 private:
  static void load() {
    try {
      load_curl();
    } catch (const Error&) {
      // Whoever asks the URL is told.
    }
  }
  std::jthread thread_;
};

/// Everything a replica is made of, in the order it is made; it is taken down in the reverse order.
class Life {
 public:
  Life(const ReplicaSpec& spec, Launcher& launcher, Operation& op, CallerLink& link, Replica& record,
       fs::path folder)
      : spec_(spec),
        launcher_(launcher),
        op_(op),
        link_(link),
        record_(record),
        folder_(std::move(folder)),
        scratch_(folder_ / "scratch"),
        proxy_(spec.ports),
        out_(folder_ / "stdout.log", spec.output_to_caller ? STDOUT_FILENO : -1),
        err_(folder_ / "stderr.log", spec.output_to_caller ? STDERR_FILENO : -1) {}
  Life(const Life&) = delete;
  ~Life() {
    link_.forward_signals_to(-1);
    launcher_.stand_down();
  }

  ExitState live() {
    begin();
    mount_image();
    make_sandbox();
    open_stdio();
    if (spec_.launch_when_told) wait_until_told();
    launch();
    wait_ready();
    const ExitState exit = wait_end();
    auto nobody_dumps = FileLock::try_lock(folder_ / dump_lock, FileLock::Mode::exclusive);
    if (nobody_dumps)
      launcher_.ended(exit);
    else  // CRIU ended it, and is not done
      nobody_dumps = FileLock(folder_ / dump_lock, FileLock::Mode::exclusive);
    return exit;
  }

 private:
  template <class Work>
  void stage(const std::string& name, Work work) {
    op_.cancel.check();
    const auto start = Clock::now();
    work();
    report(name, start, std::chrono::duration<double>(Clock::now() - start).count(), std::nullopt);
  }
  void report(const std::string& name, Clock::time_point start, double seconds,
              std::optional<uint64_t> bytes) {
    OrderedJson message = {{"state", "stage"},
                           {"name", name},
                           {"start", start.time_since_epoch().count()},
                           {"seconds", seconds}};
    if (bytes) message["bytes"] = *bytes;
    link_.send(message);
  }
  LaunchContext context() {
    return {spec_, folder_, op_, [this](const auto& name, auto start, double seconds, auto bytes) {
              report(name, start, seconds, bytes);
            }};
  }

  void begin();
  void mount_image();
  void make_sandbox();
  void open_stdio();
  void wait_until_told();
  void launch();
  void wait_ready();
  void obey(const std::string& order);
  ExitState wait_end();
  ExitState end_program();
  [[noreturn]] void lose_image();
  void check_alive();

  const ReplicaSpec& spec_;
  Launcher& launcher_;
  Operation& op_;
  CallerLink& link_;
  Replica& record_;
  const fs::path folder_;
  Scratch scratch_;
  PortProxy proxy_;
  std::optional<ReplicaImage> image_;
  OutputPump out_, err_;
  std::optional<CurlAhead> curl_ahead_;
  Stdio stdio_;  // until the main process has it
  std::optional<Freezer> freezer_;
  std::optional<Sandbox> sandbox_;
  Child main_;
};

void Life::begin() {
  LaunchContext c = context();
  launcher_.begin(c);
}

void Life::mount_image() {
  if (!spec_.image) return;
  stage("image.mount", [&] {
    MountOptions options;
    options.record = spec_.record;
    options.far_trace = spec_.far_trace;
    options.pass_through = false;  // any replica may be snapshotted
    image_.emplace(scratch_.path() / "image", spec_.store, *spec_.image, options, op_.cancel);
  });
}

void Life::make_sandbox() {
  SandboxOptions options;
  options.root = {image_ ? image_->folder() : spec_.rootfs, scratch_.path(), spec_.binds};
  options.net = spec_.net;
  LaunchContext c = context();
  launcher_.prepare(options, c);  // reports stages of its own
  stage("sandbox", [&] {
    sandbox_.emplace(options);
    if (image_) image_->watch();
    if (!spec_.ports.empty())
      proxy_.start(open_file("/proc/" + std::to_string(sandbox_->init_pid()) + "/ns/net", O_RDONLY));
  });
}

void Life::open_stdio() {
  if (spec_.stdin_from_caller) stdio_.in = Fd(SupervisorFds::input);
  stdio_.out = out_.take_write_end();
  stdio_.err = err_.take_write_end();
  out_.start();
  err_.start();
  curl_ahead_.emplace(spec_.ready);
}

/// All that can be done before it is known that it is needed is done.
void Life::wait_until_told() {
  LaunchContext c = context();
  launcher_.stand_by(*sandbox_, stdio_, c);
  link_.send({{"state", "prepared"}});
  std::vector<pollfd> polls = {{link_.orders_fd(), POLLIN, 0},
                               {op_.cancel.fd(), POLLIN, 0},
                               {sandbox_->init_pidfd(), POLLIN, 0},
                               {image_ ? image_->lost_fd() : -1, POLLIN, 0}};
  const size_t first_of_launcher = polls.size();
  for (const int fd : launcher_.standing_by()) polls.push_back({fd, POLLIN, 0});
  for (;;) {
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) throw Error::sys("cannot poll");
    op_.cancel.check();
    if (polls[2].revents != 0) throw Error("the sandbox's first process died");
    if (polls[3].revents != 0) lose_image();
    for (size_t i = first_of_launcher; i < polls.size(); ++i)
      if (polls[i].revents != 0) throw Error("a process that stood by for the launch died");
    if (polls[0].revents != 0 && link_.take_order() == "go") return;
  }
}

void Life::launch() {
  LaunchContext c = context();
  op_.cancel.check();
  if (launcher_.launches_at_once()) link_.hold_signals();
  const auto start = [&] { main_ = launcher_.launch(*sandbox_, stdio_, c); };
  if (const std::string name = launcher_.stage(); !name.empty())
    stage(name, start);
  else
    start();
  stdio_ = {};
  link_.forward_signals_to(main_.pidfd());
  record_.pid = main_.pid();
  record_.pid_started = start_time_of(main_.pid());
  record_.pid_inside = Sandbox::pid_inside(main_.pid());
  record_.ports = proxy_.ports();
  record_.state = ReplicaState::running;
  write_state(folder_, record_);
  link_.send({{"state", "running"}, {"pid", record_.pid}, {"pid_inside", record_.pid_inside}});
  curl_ahead_.reset();
}

void Life::check_alive() {
  const auto exit = main_.wait_for(std::chrono::milliseconds(0));
  if (!exit) return;
  launcher_.ended(*exit);
  err_.finish();
  const std::string last = err_.tail();
  throw Error("the program ended before it was ready: " + exit->text(),
              last.empty() ? "it wrote nothing to stderr" : "its last words: " + last);
}

void Life::wait_ready() {
  if (spec_.ready.kind != Readiness::Kind::running) {
    const Fd netns = open_file("/proc/" + std::to_string(sandbox_->init_pid()) + "/ns/net", O_RDONLY);
    uint64_t out_seen = 0;
    uint64_t err_seen = 0;
    ReadyTarget target;
    target.check_alive = [this] { check_alive(); };
    target.ended_fd = main_.pidfd();
    target.netns = spec_.net == Net::host ? -1 : netns.get();
    target.start = [this](const ProgramSpec& p) { return sandbox_->start(p); };
    target.environment = spec_.program.environment;
    target.logged = [&](const std::regex& pattern) {
      return out_.matches(pattern, out_seen) || err_.matches(pattern, err_seen);
    };
    target.last_words = [this] { return err_.tail(); };
    stage("ready", [&] { wait_until_ready(spec_.ready, target, op_.cancel); });
  }
  LaunchContext c = context();
  launcher_.ready(c);
  link_.send({{"state", "ready"}});
}

/// The caller waits for the answer: what he need not wait for comes after it.
void Life::obey(const std::string& order) {
  if (order == "freeze") {
    if (!freezer_)
      freezer_.emplace(std::vector<pid_t>{sandbox_->init_pid(), main_.pid()}, freezer_group(spec_.id));
    freezer_->freeze();
    record_.state = ReplicaState::frozen;
    link_.send({{"state", "frozen"}});
  } else if (order == "thaw") {
    if (freezer_) freezer_->thaw();
    record_.state = ReplicaState::running;
    link_.send({{"state", "thawed"}});
  } else {
    log::debug("an order that means nothing now: {}", order);
    return;
  }
  write_state(folder_, record_);
}

ExitState Life::wait_end() {
  for (;;) {
    pollfd polls[4] = {{main_.pidfd(), POLLIN, 0},
                       {op_.cancel.fd(), POLLIN, 0},
                       {image_ ? image_->lost_fd() : -1, POLLIN, 0},
                       {link_.orders_fd(), POLLIN, 0}};
    if (::poll(polls, 4, -1) < 0 && errno != EINTR) throw Error::sys("cannot poll");
    if (polls[0].revents != 0) return main_.wait();
    if (op_.cancel.cancelled()) return end_program();
    if (polls[2].revents != 0) lose_image();
    if (polls[3].revents != 0) obey(link_.take_order());
  }
}

void Life::lose_image() {
  throw Error("the image is served no more (" + image_->lose() + "), and the replica ends with it",
              "the log of who served it is " + image_server_log(spec_.store).string());
}

/// Somebody wants the replica to end: as `stop` does it.
ExitState Life::end_program() {
  if (freezer_ && freezer_->frozen()) {  // it cannot listen, and nobody uses it
    main_.kill(SIGKILL);
    return main_.wait();
  }
  main_.kill(SIGTERM);
  if (const auto exit = main_.wait_for(std::chrono::seconds(10))) return *exit;
  main_.kill(SIGKILL);
  return main_.wait();
}

/// The life, and what became of it in `record`; gives what the caller is to be told.
OrderedJson live(const ReplicaSpec& spec, Launcher& launcher, Operation& op, CallerLink& link,
                 Replica& record, const fs::path& folder) {
  try {
    own_mount_namespace();
    Scratch::in_memory_if_needed(folder / "scratch");
    const ExitState exit = Life(spec, launcher, op, link, record, folder).live();
    record.state = ReplicaState::exited;
    record.exit = exit;
    return {{"state", "exited"}, {"code", exit.code}, {"signal", exit.signal}};
  } catch (const std::exception& e) {
    const auto* known = dynamic_cast<const Error*>(&e);
    const Error error = known != nullptr ? *known : Error(e.what());
    record.state = ReplicaState::failed;
    record.error = error.message();
    return {{"state", "failed"}, {"error", to_json(error)}};
  }
}

}  // namespace

FileLock keep_sandbox(const fs::path& folder) {
  return FileLock(folder / dump_lock, FileLock::Mode::shared);
}

Child ProgramLauncher::launch(Sandbox& sandbox, const Stdio& stdio, LaunchContext& context) {
  ProgramSpec program = context.spec.program;
  program.fds = stdio.fds();
  return sandbox.start(program, &context.op.cancel);
}

void supervise(const ReplicaSpec& spec, Launcher& launcher, Operation& op) {
  for (const int fd : {SupervisorFds::control, SupervisorFds::lock, SupervisorFds::input})
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 && fd != SupervisorFds::input)
      throw Error::sys("this command is started by coldstart itself");
  const fs::path folder = spec.store / "replicas" / spec.id;
  Replica record =
      Replica::from_json(parse_json(read_text(folder / "state.json"), "state.json"), "state.json");
  record.supervisor = ::getpid();
  record.supervisor_started = start_time_of(::getpid());
  write_state(folder, record);
  // Who takes a snapshot of this replica later needs to know what it was made of.
  write_full(open_file(folder / "spec.json", O_WRONLY | O_CREAT | O_TRUNC).get(),
             as_bytes(spec.to_json().dump(2)));
  CallerLink link(Fd(SupervisorFds::control), op.cancel);
  const OrderedJson last = live(spec, launcher, op, link, record, folder);
  record.ended = std::time(nullptr);
  write_state(folder, record);
  link.send(last);
}

}  // namespace coldstart
