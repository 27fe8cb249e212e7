// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/restore.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/available_memory.h"
#include "core/base/memory_folder.h"
#include "core/base/workers.h"
#include "core/image/image.h"
#include "core/memory/stored_pages.h"
#include "core/pipeline/criu_here.h"
#include "core/remote/open_store.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

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

/// CRIU's images with all memory in them, for as long as CRIU reads them: in memory, if there is enough.
class WholeImages {
 public:
  WholeImages(const std::shared_ptr<Store>& store, const SnapshotManifest& snapshot, const fs::path& images,
              const fs::path& disk, CancelToken& cancel) {
    if (available_memory() > 2 * snapshot.memory_bytes) in_memory_ = MemoryFolder::make();
    if (!in_memory_) on_disk_.emplace(disk);
    path_ = (in_memory_ ? in_memory_->path() : on_disk_->path()) / "criu";
    write_whole_images(store, snapshot, images, path_, cancel);
  }
  const fs::path& path() const { return path_; }

 private:
  std::optional<MemoryFolder> in_memory_;
  std::optional<TempDir> on_disk_;
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

}  // namespace

MemoryMode choose_memory_mode(std::string_view word) {
  return word == "auto" ? MemoryMode::lazy : parse_memory_mode(word);
}

ReplicaSpec restore_spec(Store& store, const Digest& snapshot, const RestoreRequest& request) {
  const SnapshotManifest manifest = read_snapshot_manifest(store, snapshot);
  require_compatible(manifest.host, HostFacts::here(CriuProgram::find().version()));
  require_binds(manifest, request.binds);
  ReplicaSpec spec;
  spec.store = store.root();
  spec.name = request.name;
  spec.source = request.source;
  spec.image = manifest.image;
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
  spec.launch = {{"kind", "restore"},
                 {"snapshot", snapshot.text()},
                 {"memory", to_string(choose_memory_mode(request.memory))}};
  return spec;
}

void RestoreLauncher::prepare(SandboxOptions& options, LaunchContext& context) {
  const auto start = Clock::now();
  const Digest snapshot = digest_of(context.spec);
  store_ = open_store(context.spec.store, &context.op.cancel);
  lease_ = store_->lease("replica", {{RefKind::snapshot, snapshot}});
  manifest_ = read_snapshot_manifest(*store_, snapshot);
  mode_ = parse_memory_mode(field<std::string>(context.spec.launch, "memory", "the restore's request"));
  options.first_pid = 2;  // the pids of the snapshot must be free
  if (const auto written = manifest_.trees.find("/"); written != manifest_.trees.end())
    unpack_tree(*store_, written->second, options.root.scratch / "upper", context.op);
  files_ = ImagesCache(store_->root()).get(*store_, manifest_.criu, context.op);
  context.report("memory", start, std::chrono::duration<double>(Clock::now() - start).count(),
                 manifest_.memory_bytes);
}

Child RestoreLauncher::launch(Sandbox& sandbox, const Stdio& stdio, LaunchContext& context) {
  const auto began = Clock::now();
  for (const auto& [where, tree] : manifest_.trees)
    if (where != "/")
      unpack_tree(*store_, tree, sandbox.root() / fs::path(where).relative_path(), context.op);

  const CriuHere criu = CriuHere::find(store_->root());
  RestoreOptions options;
  options.images = files_->path();
  options.work = context.folder;
  options.log = context.folder / "criu-restore.log";
  options.kernel_facts = criu.kernel_facts;
  options.tcp_close = manifest_.tcp == TcpPolicy::close;
  options.tcp_established = manifest_.tcp == TcpPolicy::established;
  std::optional<WholeImages> whole;
  if (mode_ == MemoryMode::lazy) {
    memory_.emplace(MemoryServerOptions{files_->path(),
                                        store_->root(),
                                        digest_of(context.spec),
                                        options.work,
                                        context.folder / "memory.log",
                                        sandbox.init_pid(),
                                        {}});
    options.lazy_pages = true;
  } else {
    whole.emplace(store_, manifest_, files_->path(), context.folder, context.op.cancel);
    options.images = whole->path();
  }
  Pipe nobody = make_pipe();
  nobody.write.reset();
  options.inherit = inherited(manifest_.stdio, stdio, nobody);
  Child root = criu_restore(
      criu.program, options, [&](const ProgramSpec& program) { return sandbox.start(program); },
      [](std::string_view) {}, context.op.cancel);
  if (mode_ == MemoryMode::eager) files_.reset();
  context.report("criu.restore", began, std::chrono::duration<double>(Clock::now() - began).count(),
                 manifest_.memory_bytes);
  return root;
}

}  // namespace coldstart
