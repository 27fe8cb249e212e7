// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/restore.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/memory_folder.h"
#include "core/base/workers.h"
#include "core/checkpoint/pinned_list.h"
#include "core/image/image.h"
#include "core/memory/host_support.h"
#include "core/memory/shared_pages.h"
#include "core/memory/stored_pages.h"
#include "core/memory/working_set.h"
#include "core/pipeline/criu_here.h"
#include "core/pipeline/files_ahead.h"
#include "core/pipeline/request.h"
#include "core/remote/open_store.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* restore_sign = "coldstart-restored";  // in /dev/shm

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Tells the processes, before any of them runs on, that they were restored, without any of them having to be
/// told where to look: by a new file in place of the one they may have seen before.
void put_sign(const Sandbox& sandbox, const ReplicaSpec& spec, const Digest& snapshot) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const OrderedJson sign = {{"replica", spec.id},
                            {"snapshot", snapshot.text()},
                            {"restored", std::chrono::duration<double>(now).count()}};
  // Nobody inside runs yet, so nobody can lead us astray; but what the snapshot brought there might.
  const Fd folder = open_file((sandbox.root() / "dev/shm").string(), O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (::unlinkat(folder.get(), restore_sign, 0) != 0 && errno != ENOENT)
    throw Error::sys("cannot replace /dev/shm/" + std::string(restore_sign) + " inside");
  const Fd file = open_at(folder.get(), restore_sign, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
  check(::fchmod(file.get(), 0644), "cannot let everybody read the sign of a restore");
  write_full(file.get(), as_bytes(sign.dump() + "\n"));
}

Digest digest_of(const ReplicaSpec& spec) {
  const auto digest = Digest::parse(field<std::string>(spec.launch, "snapshot", "the restore's request"));
  if (!digest) throw Error::corrupt("the restore's request names no snapshot");
  return *digest;
}

/// A snapshot never brings parts of the host along: who restores gives them anew.
void require_binds(const SnapshotManifest& manifest, const std::vector<Bind>& given) {
  for (const std::string& target : manifest.binds) {
    const bool is_given =
        std::any_of(given.begin(), given.end(), [&](const Bind& b) { return b.target == target; });
    if (!is_given)
      throw Error::usage(fmt::format("the snapshot was taken with a bind at {}", target),
                         fmt::format("give it again: --bind HOST_FOLDER:{}", target));
  }
}

void unpack_tree(Store& store, const Digest& tree, const fs::path& folder, Operation& op) {
  unpack_image(store, open_image(store, read_image_manifest(store, tree)), folder, default_jobs(), op);
}

/// CRIU's images with all memory in them, for as long as CRIU reads them: kept like the images themselves, or
/// where there is no room for that, in memory.
class WholeImages {
 public:
  WholeImages(const std::shared_ptr<Store>& store, const SnapshotManifest& snapshot, const fs::path& images,
              CancelToken& cancel) {
    ImagesCache cache(store->root());
    const Digest name = Digest::of(as_bytes("whole " + snapshot.criu.text() + snapshot.memory.name().text()));
    const Store::Scratch scratch = store->scratch();
    while (!(kept_ = cache.find(name))) {
      if (!cache.has_room_for(snapshot.memory_bytes)) in_memory_ = MemoryFolder::make();
      path_ = (in_memory_ ? in_memory_->path() : scratch.path()) / "criu";
      write_whole_images(store, snapshot, images, path_, cancel);
      if (in_memory_) return;
      cache.adopt(path_, name);
    }
    path_ = kept_->path();
  }
  const fs::path& path() const { return path_; }

 private:
  std::optional<MemoryFolder> in_memory_;
  std::optional<ImagesFolder> kept_;
  fs::path path_;
};

/// CRIU's names of the pipes that were stdio, with our ends of the new ones. `closed` is for a stdin that
/// nobody feeds.
std::vector<std::pair<std::string, int>> inherited(const std::vector<std::string>& names, const Stdio& stdio,
                                                   const Pipe& closed) {
  const int ends[] = {stdio.in ? stdio.in.get() : closed.read.get(), stdio.out.get(), stdio.err.get()};
  std::vector<std::pair<std::string, int>> result;
  for (size_t i = 0; i < names.size(); ++i) {
    const bool seen =
        std::any_of(result.begin(), result.end(), [&](const auto& pair) { return pair.first == names[i]; });
    if (!names[i].empty() && !seen) result.emplace_back(names[i], ends[i]);
  }
  return result;
}

/// The page server removes its socket once CRIU has it; one that is killed before cannot.
class SocketRemover {
 public:
  explicit SocketRemover(fs::path file) : file_(std::move(file)) {}
  SocketRemover(const SocketRemover&) = delete;
  SocketRemover& operator=(const SocketRemover&) = delete;
  ~SocketRemover() {
    std::error_code ignored;
    fs::remove(file_, ignored);
  }

 private:
  const fs::path file_;
};

}  // namespace

/// What CRIU needs until it has restored, and CRIU itself. It goes in the reverse order.
struct RestoreLauncher::StandBy {
  StandBy(const fs::path& store, const fs::path& work)
      : criu(CriuHere::find(store)), socket(work / "lazy-pages.socket") {
    nobody.write.reset();
  }
  const CriuHere criu;
  Pipe nobody = make_pipe();
  SocketRemover socket;
  std::optional<WholeImages> whole;
  std::optional<CriuRestore> restore;
};

RestoreLauncher::RestoreLauncher() = default;
RestoreLauncher::~RestoreLauncher() = default;

ReplicaSpec restore_spec(Store& store, const Digest& snapshot, const RestoreRequest& request) {
  const SnapshotManifest manifest = read_snapshot_manifest(store, snapshot);
  require_compatible(manifest.host, HostFacts::here(CriuProgram::find().version()));
  require_binds(manifest, request.binds);
  ReplicaSpec spec;
  spec.store = store.root();
  spec.name = request.name;
  spec.source = request.source;
  spec.image = manifest.image;
  spec.far_trace = manifest.trace;
  spec.rootfs = manifest.rootfs;
  spec.binds = request.binds;
  spec.net = request.net.value_or(manifest.net);
  spec.ports = request.ports;
  spec.program.argv = manifest.command;
  spec.program.environment = manifest.environment;
  spec.program.folder = manifest.folder;
  spec.ready = request.ready.value_or(manifest.ready);
  // What it logged when it got ready it will not log again.
  if (!request.ready && manifest.ready.kind == Readiness::Kind::log) spec.ready = Readiness();
  GpuPlan only_one;
  GpuPlan& plan = request.gpu_plan != nullptr ? *request.gpu_plan : only_one;
  // What is in memory already is not asked for where that could be recorded.
  const std::string memory = request.memory == "auto" && !request.record.empty() ? "lazy" : request.memory;
  spec.launch = {{"kind", "restore"},
                 {"snapshot", snapshot.text()},
                 {"gpu", gpu_restore_request(manifest.gpu, request.gpu_map, plan, request.gpus_ill)},
                 {"memory", to_string(choose_memory_mode(memory))},
                 {"memory_cache", request.memory_cache.value_or(MemoryTier::default_budget())},
                 {"record", request.record},
                 {"plain_criu", request.plain_criu},
                 {"post_restore", request.post_restore}};
  return spec;
}

void RestoreLauncher::begin(LaunchContext& context) {
  const auto start = Clock::now();
  const Digest snapshot = digest_of(context.spec);
  store_ = open_store(context.spec.store, &context.op.cancel);
  lease_ = store_->lease("replica", {{RefKind::snapshot, snapshot}});
  manifest_ = read_snapshot_manifest(*store_, snapshot);
  if (auto gpu = GpuRestore::begin(store_->root(), manifest_.gpu,
                                   field<Json>(context.spec.launch, "gpu", "the restore's request")))
    gpu_.emplace(std::move(*gpu));
  mode_ = parse_memory_mode(field<std::string>(context.spec.launch, "memory", "the restore's request"));
  plain_ = field<bool>(context.spec.launch, "plain_criu", "the restore's request");
  files_ = ImagesCache(store_->root()).get(*store_, manifest_.criu, context.op);
  if (mode_ == MemoryMode::shared) share_memory(context.spec);
  if (mode_ != MemoryMode::eager && !plain_) start_page_server(context);
  context.report("memory", start, seconds_since(start), manifest_.memory_bytes);
}

void RestoreLauncher::prepare(SandboxOptions& options, LaunchContext& context) {
  options.first_pid = 2;  // the pids of the snapshot must be free
  image_ = options.root.lower;
  if (const auto written = manifest_.trees.find("/"); written != manifest_.trees.end())
    unpack_tree(*store_, written->second, options.root.scratch / "upper", context.op);
}

/// Takes the shared copy into use; lazy mode if that cannot be.
void RestoreLauncher::share_memory(const ReplicaSpec& spec) {
  const auto budget = field<uint64_t>(spec.launch, "memory_cache", "the restore's request");
  std::string why;
  try {
    copy_ = MemoryTier(store_->root()).get(digest_of(spec), files_->path(), budget, why);
    if (copy_) copy_pages_ = copy_->open_pages();
  } catch (const std::exception& e) {
    const auto* known = dynamic_cast<const Error*>(&e);
    if (known != nullptr && known->exit() == Exit::corrupt) throw;
    copy_.reset();
    why = e.what();
  }
  if (copy_) return;
  log::info("memory is restored lazily, not shared: {}", why);
  mode_ = MemoryMode::lazy;
}

void RestoreLauncher::start_page_server(const LaunchContext& context) {
  const Digest snapshot = digest_of(context.spec);
  for (const PinnedMapping& m : read_pinned_list(files_->path())) pinned_bytes_ += m.end - m.start;
  MemoryServerOptions server;
  server.images = files_->path();
  server.store = store_->root();
  server.snapshot = snapshot;
  server.work_folder = context.folder;
  server.log = context.folder / "memory.log";
  if (copy_) {
    server.shared = copy_->folder();
  } else {
    std::error_code absent;
    server.record =
        !field<std::vector<std::string>>(context.spec.launch, "record", "the restore's request").empty() ||
        (context.spec.ready.kind != Readiness::Kind::running &&
         !fs::exists(working_set_file(store_->root(), snapshot), absent));
  }
  memory_.emplace(server);
}

/// CRIU leaves to the page server what can come late.
void RestoreLauncher::leave_memory_to_server(RestoreOptions& options) const {
  options.lazy_pages = true;
  if (!copy_) return;
  options.images = copy_->images();
  for (const uint32_t pid : SharedPages(copy_->folder()).pids())
    options.inherit.emplace_back(shared_file_key(pid), copy_pages_.get());
}

void RestoreLauncher::stand_by(Sandbox& sandbox, const Stdio& stdio, LaunchContext& context) {
  auto ready = std::make_unique<StandBy>(store_->root(), context.folder);
  if (context.spec.image && !plain_) ahead_.emplace(files_->path(), image_, sandbox.root(), files_in_use());
  for (const auto& [where, tree] : manifest_.trees)
    if (where != "/")
      unpack_tree(*store_, tree, sandbox.root() / fs::path(where).relative_path(), context.op);

  RestoreOptions options;
  options.images = files_->path();
  options.work = context.folder;
  options.log = context.folder / "criu-restore.log";
  options.kernel_facts = ready->criu.kernel_facts;
  options.files_never_change = manifest_.image.has_value() && !plain_;
  options.no_breakpoints = !plain_;
  options.tcp_close = manifest_.tcp == TcpPolicy::close;
  options.tcp_established = manifest_.tcp == TcpPolicy::established;
  if (mode_ == MemoryMode::eager || plain_) {
    ready->whole.emplace(store_, manifest_, files_->path(), context.op.cancel);
    options.images = ready->whole->path();
  }
  options.inherit = inherited(manifest_.stdio, stdio, ready->nobody);
  if (plain_ && mode_ != MemoryMode::eager) {
    options.lazy_pages = true;
    criu_pages_.emplace(ready->criu.program, options.images, options.work);
  } else if (memory_) {
    memory_->kill_also(sandbox.init_pid());
    leave_memory_to_server(options);
  }
  ready->restore.emplace(ready->criu.program, options,
                         [&](const ProgramSpec& program) { return sandbox.start(program); });
  if (memory_) memory_->until_it_listens();
  stand_by_ = std::move(ready);
}

std::vector<int> RestoreLauncher::standing_by() const {
  std::vector<int> all = {stand_by_->restore->pidfd()};
  if (memory_) all.push_back(memory_->pidfd());
  return all;
}

/// Whose memory cannot be brought is killed, and then the server tells why.
void RestoreLauncher::ended(const ExitState& exit) {
  if (memory_ && exit.signal == SIGKILL) memory_->check(std::chrono::seconds(1));
}

/// What the processes had in memory of the image's files.
std::vector<TraceLine> RestoreLauncher::files_in_use() const {
  if (!manifest_.trace) return {};
  try {
    return parse_trace_lines(as_text(store_->read(*manifest_.trace)), "the access trace of the snapshot");
  } catch (const Error& e) {
    log::warn("{}", e.what());  // it only makes things quicker
    return {};
  }
}

void RestoreLauncher::stand_down() noexcept {
  ahead_.reset();
  stand_by_.reset();
}

Child RestoreLauncher::launch(Sandbox& sandbox, const Stdio& stdio, LaunchContext& context) {
  const auto began = Clock::now();
  if (!stand_by_) stand_by(sandbox, stdio, context);
  put_sign(sandbox, context.spec, digest_of(context.spec));
  Child root = restore_processes(context);
  stand_by_.reset();
  if (mode_ == MemoryMode::eager) files_.reset();
  context.report("criu.restore", began, seconds_since(began), manifest_.memory_bytes);
  root_ = root.pid();
  if (gpu_) {
    const auto start = Clock::now();
    const uint64_t bytes = gpu_->finish(sandbox, context.op.cancel);
    context.report("gpu.restore", start, seconds_since(start), bytes);
    gpu_.reset();
  }
  const auto command = field<std::string>(context.spec.launch, "post_restore", "the restore's request");
  if (!command.empty()) {
    const auto start = Clock::now();
    ask_inside("what is to run after the restore", command, context);
    context.report("post-restore", start, seconds_since(start), std::nullopt);
  }
  return root;
}

Child RestoreLauncher::restore_processes(LaunchContext& context) {
  try {
    return stand_by_->restore->restore(
        [&](std::string_view station) {
          if (station != "pre-resume" || !memory_ || (!copy_ && pinned_bytes_ == 0)) return;
          const auto start = Clock::now();
          memory_->settle(context.op.cancel);
          if (pinned_bytes_ > 0) context.report("memory.pinned", start, seconds_since(start), pinned_bytes_);
        },
        context.op.cancel);
  } catch (...) {
    // Then CRIU only knows that nobody answers it, and may know it before we can: a process that is killed
    // closes its descriptors first. One that was not killed ends because CRIU has.
    if (memory_) memory_->check_killed(std::chrono::seconds(1));
    throw;
  }
}

void RestoreLauncher::ready(LaunchContext& context) {
  if (!memory_) return;
  const auto requests =
      field<std::vector<std::string>>(context.spec.launch, "record", "the restore's request");
  const auto start = Clock::now();
  for (const std::string& request : requests) ask_inside("a request to record", request, context);
  memory_->release();
  if (!requests.empty()) context.report("record", start, seconds_since(start), std::nullopt);
}

void RestoreLauncher::ask_inside(const std::string& what, const std::string& request,
                                 LaunchContext& context) const {
  const Answer answer = ask({request}, {root_, context.spec.program.environment}, context.spec.ready.timeout,
                            context.op.cancel);
  if (!answer.ok) throw Error(fmt::format("{} failed: '{}': {}", what, request, answer.reason));
}

}  // namespace coldstart
