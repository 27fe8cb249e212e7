// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/snapshot.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <unordered_set>

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>

#include "core/base/available_memory.h"
#include "core/base/log.h"
#include "core/base/memory_folder.h"
#include "core/base/process_tree.h"
#include "core/base/progress_task.h"
#include "core/checkpoint/images.h"
#include "core/checkpoint/images_cache.h"
#include "core/checkpoint/late_pages.h"
#include "core/checkpoint/mapped_files.h"
#include "core/checkpoint/memory_pack.h"
#include "core/checkpoint/pending_memory.h"
#include "core/checkpoint/pinned_mappings.h"
#include "core/checkpoint/preflight.h"
#include "core/image/image.h"
#include "core/image/source.h"
#include "core/image/trace.h"
#include "core/memory/host_support.h"
#include "core/memory/huge_pages.h"
#include "core/memory/memory_tier.h"
#include "core/memory/shared_dump.h"
#include "core/memory/shared_pages.h"
#include "core/memory/stored_pages.h"
#include "core/pipeline/request.h"
#include "core/pipeline/weights_files.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// Trees of what was written, and CRIU's own files.
constexpr int tree_level = 1;
/// A frame of memory: what a page fault has to read at most.
constexpr PackOptions memory_packs{.level = 3, .frame_bytes = size_t{256} << 10};

/// How many bytes a dump of the tree could write.
uint64_t most_dumped(pid_t root) {
  uint64_t bytes = 0;
  for (const pid_t pid : process_tree(root))
    for (const char* name : {"VmRSS", "VmSwap"})
      bytes += std::strtoull(status_field(pid, name).c_str(), nullptr, 10) << 10;
  return bytes;
}

/// Memory, if there is enough of it, so that the processes do not stand still for a disk.
std::optional<MemoryFolder> memory_for_dump(pid_t root) {
  const uint64_t wanted = most_dumped(root);
  const uint64_t there = available_memory();
  if (wanted + wanted / 8 + (uint64_t{256} << 20) <= there) return MemoryFolder::make();
  log::info("dumping to disk: {} MB of memory are too few for {} MB", there >> 20, wanted >> 20);
  return std::nullopt;
}

/// A pipe's name is what CRIU calls it; other descriptors come back by themselves.
std::vector<std::string> stdio_of(pid_t pid) {
  std::vector<std::string> names;
  for (int fd = 0; fd < 3; ++fd) {
    std::error_code closed;
    const std::string target = fs::read_symlink(fmt::format("/proc/{}/fd/{}", pid, fd), closed).string();
    names.push_back(target.starts_with("pipe:[") ? target : std::string());
  }
  return names;
}

/// Of a path on the host, as the process's parent sees it: the supervisor of a replica, which has mounts of
/// its own.
fs::path seen_by_parent(pid_t pid, const fs::path& path) {
  std::ifstream in(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("PPid:"))
      return fmt::format("/proc/{}/root{}", std::stol(line.substr(5)), path.string());
  throw Error(fmt::format("process {} is gone", pid));
}

/// True if the process sees another file system at `path` than we do.
bool has_its_own(pid_t pid, const std::string& path) {
  struct stat theirs {};
  struct stat ours {};
  if (::stat(fmt::format("/proc/{}/root{}", pid, path).c_str(), &theirs) != 0) return false;
  return ::stat(path.c_str(), &ours) != 0 || theirs.st_dev != ours.st_dev;
}

/// What CRIU waits for comes first.
std::string trace_of(const std::vector<MappedFile>& for_criu, const std::vector<MappedFile>& in_memory) {
  std::string text(trace_text_header);
  for (const auto* files : {&for_criu, &in_memory})
    for (const MappedFile& file : *files)
      for (const FileRange& range : file.wanted)
        text += trace_line(range.offset, range.bytes, std::string_view(file.path).substr(1));
  return text;
}

/// One snapshot being taken.
class Taking {
 public:
  Taking(std::shared_ptr<Store> store, const CriuHere& criu, const SnapshotSubject& subject,
         const SnapshotEnding& ending, Operation& op)
      : store_(std::move(store)),
        criu_(criu),
        subject_(subject),
        ending_(ending),
        op_(op),
        scratch_(store_->scratch()),
        // From the first chunk until the reference is set: no gc in between.
        no_gc_(store_->root() / "lock", FileLock::Mode::shared) {
    for (const std::string& path : ending.weights)
      weights_.push_back(open_weights(store_, subject.spec.image, subject.pid, path));
  }

  void add_gpu(const GpuCheckpoint& gpu) {
    manifest_.gpu = gpu.facts();
    pinned_ = gpu.host_copies();
  }
  uint64_t memory_bytes() const { return manifest_.memory_bytes; }

  void dump(StageTime& time) {
    const ProgressTask task(op_.progress, "dumping", 0, Progress::Unit::steps);
    describe();
    const SharedDump shared(MemoryTier(store_->root()), subject_.pid);
    wait_for_memory(shared);
    memory_folder_ = memory_for_dump(subject_.pid);  // with what came from the GPU
    files_ = (memory_folder_ ? memory_folder_->path() : scratch_.path()) / "criu";
    make_folders(files_);
    DumpOptions options;
    options.images = files_;
    options.log = subject_.folder.empty() ? store_->root() / fmt::format("criu-dump-{}.log", subject_.pid)
                                          : subject_.folder / "criu-dump.log";
    options.kernel_facts = criu_.kernel_facts;
    options.no_breakpoints = true;
    options.files_never_change = manifest_.image.has_value();
    options.pid = manifest_.root_pid;
    options.leave_running = ending_.leave_running;
    decide_tcp(options);
    const auto start = [this](const ProgramSpec& program) {
      return start_in_namespaces_of(subject_.pid, program);
    };
    fill_copies(shared);
    options.external = shared.external();
    const auto notify = [&](std::string_view station) {
      if (station != "post-dump") return;
      shared.unshare(files_, subject_.pid);
      pack_written();
    };
    if (manifest_.image) in_memory_ = files_in_memory(process_tree(subject_.pid));
    std::optional<FileLock> sandbox_stays;
    if (!subject_.folder.empty()) sandbox_stays = keep_sandbox(subject_.folder);
    criu_dump(criu_.program, options, start, notify, op_.cancel);
    keep_pinned_mappings(files_, pinned_);
    images_ = summarize_images(files_);
    mark_late_pages(files_, images_.processes);
    manifest_.processes = static_cast<uint32_t>(images_.processes.size());
    manifest_.memory_bytes = images_.memory_bytes();
    time.bytes = manifest_.memory_bytes;
  }

  SnapshotResult publish(const RefName& reference, StageTime& time) {
    const SnapshotResult result = store_dump(reference);
    memory_folder_.reset();  // the room that the shared copy takes
    keep_in_memory(result.digest);
    time.bytes = result.new_bytes;
    return result;
  }

 private:
  /// What a restored replica has not been brought yet is in the snapshot that it came from.
  void fill_copies(const SharedDump& shared) const {
    for (const auto& [name, folder] : shared.copies()) {
      const auto snapshot = Digest::parse("sha256:" + folder.filename().string());
      const SnapshotManifest manifest = read_snapshot_manifest(*store_, *snapshot);
      const ImagesFolder images = ImagesCache(store_->root()).get(*store_, manifest.criu, op_);
      SharedPages pages(folder);
      if (!fill_all(pages, *open_stored_pages(store_, manifest, images.path())))
        throw Error("there is no room for all of the replica's memory",
                    "stop other replicas, or restore it with --memory lazy before it is snapshotted");
    }
  }

  /// Until `is_done` or the time is up (none: for ever); false if it is.
  bool wait_until(const std::function<bool()>& is_done, std::optional<std::chrono::milliseconds> most) const {
    constexpr std::chrono::milliseconds step{10};
    for (std::chrono::milliseconds waited{0}; !is_done(); waited += step) {
      if (most && waited > *most) return false;
      pollfd p{op_.cancel.fd(), POLLIN, 0};
      if (::poll(&p, 1, step.count()) < 0 && errno != EINTR) throw Error::sys("cannot wait");
      op_.cancel.check();
    }
    return true;
  }

  /// A server that has just answered us may be about to close that connection: it is given a moment.
  Preflight inspect_when_quiet() const {
    Preflight found;
    wait_until(
        [&] {
          found = inspect_tree(subject_.pid);
          return found.connections_outside == 0 || ending_.tcp_close;
        },
        std::chrono::seconds(1));
    return found;
  }

  /// A replica that was restored a moment ago may not have all its memory yet.
  void wait_for_memory(const SharedDump& shared) const {
    if (!shared.empty() && subject_.folder.empty())
      throw Error::usage("the process is that of a replica", "name the replica: --replica, see coldstart ps");
    const auto is_there = [&] {
      // With shared memory, the page server watches over the processes for as long as they live.
      return shared.empty() ? !has_pending_memory(subject_.pid)
                            : fs::exists(subject_.folder / memory_filled_file);
    };
    if (is_there()) return;
    log::info("waiting until all memory of the replica has come back");
    const auto span = op_.timeline.span("wait for memory");
    wait_until(is_there, std::nullopt);
  }

  /// Refuses what cannot be dumped, before anything is frozen.
  void decide_tcp(DumpOptions& options) {
    const Preflight found = inspect_when_quiet();
    if (ending_.tcp_close)
      manifest_.tcp = TcpPolicy::close;
    else if (found.connections_inside > 0 && found.connections_outside == 0)
      manifest_.tcp = TcpPolicy::established;
    options.tcp_close = manifest_.tcp == TcpPolicy::close;
    options.tcp_established = manifest_.tcp == TcpPolicy::established;
    require_dumpable(found, options);
  }

  /// All but what the dump tells.
  void describe() {
    const ReplicaSpec& spec = subject_.spec;
    manifest_.image = spec.image;
    manifest_.rootfs = spec.rootfs;
    for (const Bind& bind : spec.binds) manifest_.binds.push_back(bind.target);
    manifest_.command = spec.program.argv;
    manifest_.environment = spec.program.environment;
    manifest_.folder = spec.program.folder;
    manifest_.net = spec.net;
    manifest_.ready = spec.ready;
    manifest_.warmups = subject_.warmups;
    manifest_.root_pid = Sandbox::pid_inside(subject_.pid);
    manifest_.stdio = stdio_of(subject_.pid);
    manifest_.host = HostFacts::here(criu_.program.version());
    manifest_.to_json();  // throws for what it cannot hold, before anything is frozen
  }

  /// Everything that the tree could have written to, while it is frozen.
  void pack_written() {
    const bool has_overlay = subject_.spec.image || !subject_.spec.rootfs.empty();
    if (has_overlay)
      manifest_.trees["/"] = pack(seen_by_parent(subject_.pid, subject_.folder / "scratch" / "upper"));
    if (has_its_own(subject_.pid, "/dev/shm"))
      manifest_.trees["/dev/shm"] = pack(fmt::format("/proc/{}/root/dev/shm", subject_.pid));
  }

  /// All that is kept on disk; afterwards the dump is of no more use.
  SnapshotResult store_dump(const RefName& reference) {
    fs::remove(files_ / "stats-dump");  // says how long the dump took: the same dump twice would differ
    MemoryPacker memory(files_, images_.processes);
    PackWriter writer(store_, memory_packs, op_);
    const MemoryMap map = memory.pack(writer, op_, weights_);
    manifest_.memory = put_memory_map(writer, map);
    if (manifest_.image)
      manifest_.trace = writer.put_now(to_bytes(trace_of(mapped_files(files_), in_memory_)));
    memory.reduce_images();
    manifest_.criu = pack(files_);
    const Digest digest = writer.put_now(to_bytes(manifest_.to_json()));
    writer.finish();
    store_->set_ref(RefKind::snapshot, reference, digest);
    new_bytes_ += writer.new_stored_bytes();
    add_stored(map, digest);
    keep_for_restores(memory, map);
    return {digest,        manifest_.processes, manifest_.memory_bytes,
            stored_bytes_, new_bytes_,          memory.weights_bytes()};
  }

  Digest pack(const fs::path& folder) {
    BuildOptions options;
    options.pack.level = tree_level;
    const auto source = open_dir_source(folder);
    const PackStats stats = build_image(store_, *source, options, std::nullopt, op_);
    stored_bytes_ += stats.stored_bytes;
    new_bytes_ += stats.new_bytes;
    return stats.digest;
  }

  void add_stored(const MemoryMap& map, const Digest& manifest) {
    stored_bytes_ += store_->stored_size(manifest);
    for (const Digest& chunk : manifest_.memory.chunks) stored_bytes_ += store_->stored_size(chunk);
    std::unordered_set<Digest, DigestHash> seen;  // several parts may be of one chunk
    for (const MemoryChunk& chunk : map.chunks)
      if (seen.insert(chunk.digest).second) stored_bytes_ += store_->stored_size(chunk.digest);
  }

  /// The next restore on this host need not unpack anything. If that fails nothing is lost.
  void keep_for_restores(const MemoryPacker& memory, const MemoryMap& map) {
    const auto span = op_.timeline.span("cache");
    ImagesCache cache(store_->root());
    try {
      const fs::path files = scratch_.path() / "kept";
      fs::copy(files_, files);
      cache.adopt(files, manifest_.criu);
      if (!cache.has_room_for(map.content_bytes())) return;
      const fs::path content = scratch_.path() / "memory";
      make_folders(content);
      memory.write_content(content / memory_content_file, op_);
      cache.adopt(content, manifest_.memory.name());
    } catch (const std::exception& e) {
      op_.cancel.check();
      log::warn("the next restore has to unpack the snapshot: {}", e.what());
    }
  }

  /// The next restores find the memory where they will map it.
  void keep_in_memory(const Digest& snapshot) const {
    if (choose_memory_mode("auto") != MemoryMode::shared) return;
    const auto span = op_.timeline.span("share memory");
    std::string why;
    try {
      const ImagesFolder images = ImagesCache(store_->root()).get(*store_, manifest_.criu, op_);
      const auto copy =
          MemoryTier(store_->root()).get(snapshot, images.path(), MemoryTier::default_budget(), why);
      if (!copy) return log::info("the snapshot is not kept in memory: {}", why);
      SharedPages pages(copy->folder());
      const auto stored = open_stored_pages(store_, manifest_, images.path());
      make_huge(pages, *stored);
      fill_all(pages, *stored);
    } catch (const std::exception& e) {
      op_.cancel.check();
      log::info("the snapshot is not kept in memory: {}", e.what());
    }
  }

  const std::shared_ptr<Store> store_;
  const CriuHere& criu_;
  const SnapshotSubject& subject_;
  const SnapshotEnding& ending_;
  Operation& op_;
  const Store::Scratch scratch_;
  std::optional<MemoryFolder> memory_folder_;
  fs::path files_;  // CRIU's
  ImagesSummary images_;
  std::vector<MappedFile> in_memory_;
  FileLock no_gc_;
  std::vector<WeightsFile> weights_;
  std::vector<PinnedMapping> pinned_;
  SnapshotManifest manifest_;
  uint64_t stored_bytes_ = 0;
  uint64_t new_bytes_ = 0;
};

}  // namespace

SnapshotResult take_snapshot(const std::shared_ptr<Store>& store, const CriuHere& criu,
                             const SnapshotSubject& subject, const RefName& reference,
                             const SnapshotEnding& ending, Chain& chain, Operation& op) {
  Taking taking(store, criu, subject, ending, op);
  SnapshotResult result;
  auto gpu = GpuCheckpoint::take(store->root(), subject.pid, ending.gpu, ending.gpu_timeout, chain, op);
  if (gpu) taking.add_gpu(*gpu);
  chain.stage("criu.dump", [&](StageTime& time) { taking.dump(time); });
  if (gpu) gpu->require_dumped(taking.memory_bytes());
  if (gpu && ending.leave_running) gpu->resume(op.cancel);
  chain.stage("store", [&](StageTime& time) { result = taking.publish(reference, time); });
  return result;
}

void wait_ready(ReplicaFront& front, Chain& chain, Operation& op) {
  front.wait_ready(op.cancel, [&](const std::string& name, auto start, double seconds, auto bytes) {
    chain.add({name, seconds, bytes}, start);
    op.progress.detail(name + " done");
  });
}

void run_pre_snapshot(const SnapshotSubject& subject, const std::string& command, Chain& chain,
                      Operation& op) {
  if (command.empty()) return;
  chain.stage("pre-snapshot", [&](StageTime&) {
    const Answer answer = ask({command}, {subject.pid, subject.spec.program.environment},
                              subject.spec.ready.timeout, op.cancel);
    if (!answer.ok) throw Error(fmt::format("--pre-snapshot '{}' failed: {}", command, answer.reason));
  });
}

void warm_up(const SnapshotSubject& subject, Chain& chain, Operation& op) {
  if (subject.warmups.empty()) return;
  chain.stage("warmup", [&](StageTime&) {
    const ProgressTask task(op.progress, "warming up", 0, Progress::Unit::steps);
    for (const std::string& warmup : subject.warmups) {
      // What it uses from here on is what an answer takes.
      if (subject.spec.image && &warmup == &subject.warmups.back()) forget_files(process_tree(subject.pid));
      const Answer answer = ask({warmup}, {subject.pid, subject.spec.program.environment},
                                subject.spec.ready.timeout, op.cancel);
      if (!answer.ok) throw Error(fmt::format("the warm-up '{}' failed: {}", warmup, answer.reason));
    }
  });
}

}  // namespace coldstart
