// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/criu.h"

#include <exception>
#include <optional>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/process_tree.h"
#include "core/checkpoint/criu_worker.h"
#include "core/checkpoint/images.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint32_t leave_cgroups_alone = 0;
constexpr uint32_t no_network_lock = 3;  // the tree is frozen, and iptables is not in every image

criu::Request request_of(criu::RequestType type, const CriuOptions& options) {
  criu::Request request;
  request.set_type(type);
  criu::Options& o = *request.mutable_opts();
  o.set_images_dir_fd(-1);
  o.set_images_dir(fmt::format("/proc/self/fd/{}", CriuWorker::images));
  o.set_log_to_stderr(true);
  o.set_log_level(options.log_level);
  o.set_notify_scripts(true);
  o.set_manage_cgroups_mode(leave_cgroups_alone);
  o.set_network_lock(no_network_lock);
  o.set_tcp_close(options.tcp_close);
  o.set_tcp_established(options.tcp_established);
  o.set_ext_unix_sk(options.ext_unix_sk);
  o.set_shell_job(options.shell_job);
  o.set_file_locks(options.file_locks);
  for (const std::string& key : options.external) o.add_external(key);
  return request;
}

/// Puts what is known of the kernel where CRIU looks for it, in the root that the worker sees, until
/// destruction. The host's own root is left alone: there a file that outlived us could outlive this boot.
class KernelFactsInside {
 public:
  KernelFactsInside(pid_t worker, const Bytes& facts) {
    if (facts.empty()) return;
    try {
      const std::string root = fmt::format("/proc/{}/root", worker);
      const Fd there = open_file(root, O_PATH | O_DIRECTORY);
      if (same_folder(there.get(), open_file("/", O_PATH).get())) return;
      // One component below the root: an image's link to elsewhere is not followed.
      Fd run = open_at(there.get(), "run", O_PATH | O_DIRECTORY | O_NOFOLLOW);
      write_full(open_at(run.get(), name, O_WRONLY | O_CREAT | O_EXCL).get(), facts);
      folder_ = std::move(run);
    } catch (const Error& e) {
      log::debug("CRIU has to look at the kernel itself: {}", e.message());
    }
  }
  KernelFactsInside(const KernelFactsInside&) = delete;
  KernelFactsInside& operator=(const KernelFactsInside&) = delete;
  ~KernelFactsInside() { remove(); }

  /// CRIU has read it once it says anything.
  void remove() noexcept {
    if (folder_ && ::unlinkat(folder_.get(), name, 0) != 0) log::debug("cannot remove /run/{} inside", name);
    folder_.reset();
  }

 private:
  static constexpr const char* name = "criu.kdat";
  static bool same_folder(int a, int b) {
    struct stat sa {
    }, sb{};
    check(::fstat(a, &sa), "cannot stat a root");
    check(::fstat(b, &sb), "cannot stat a root");
    return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
  }
  Fd folder_;
};

/// Called where a callback has thrown, before CRIU is told.
using OnRefusal = std::function<void()>;

/// Tells a CRIU that waits for an answer that something failed, and waits until it has given up: unless what
/// failed has ended it as well.
void refuse(CriuWorker& worker, CancelToken* cancel) {
  try {
    do worker.answer(false);
    while (worker.receive(cancel).type() == criu::NOTIFY);
  } catch (const Error& e) {
    log::debug("after a refusal: {}", e.message());
  }
}

/// Sends a request and answers notifications until the result is there. With `cancel`, cancelling ends the
/// wait at once; without, the caller's `notify` has to look.
criu::Response converse(CriuWorker& worker, const criu::Request& request, const Bytes& kernel_facts,
                        const CriuNotify& notify, const OnRefusal& refused, CancelToken* cancel) {
  KernelFactsInside facts(worker.pid(), kernel_facts);
  worker.send(request);
  for (;;) {
    criu::Response response = worker.receive(cancel);
    facts.remove();
    if (response.type() != criu::NOTIFY) return response;
    try {
      if (notify) notify(response.notify().script());
    } catch (...) {
      refused();
      refuse(worker, cancel);
      throw;
    }
    worker.answer(true);
  }
}

/// The restored root: CRIU makes it a child of ours, under the pid that the images say.
class RestoredRoot {
 public:
  explicit RestoredRoot(pid_t pid_inside) : pid_inside_(pid_inside) {}
  RestoredRoot(const RestoredRoot&) = delete;
  RestoredRoot& operator=(const RestoredRoot&) = delete;
  /// What was restored when something failed does not run on, and leaves no zombie. To be destroyed after
  /// the worker: while that traces the root, nobody else can reap it.
  ~RestoredRoot() {
    try {
      if (wanted_) return;
      kill();
      if (const std::optional<pid_t> pid = find()) Child{*pid};
    } catch (const Error& e) {
      log::debug("cannot end what was restored: {}", e.message());
    }
  }

  /// Where it will be: in the pid namespace of the worker.
  void expect_beside(pid_t worker) { pid_namespace_ = namespace_of(worker, "pid"); }
  void kill() {
    if (const std::optional<pid_t> pid = find()) kill_tree(*pid);
  }
  Child take() {
    const std::optional<pid_t> pid = find();
    if (!pid) throw Error("the restored process is gone already");
    wanted_ = true;
    return Child(*pid);
  }

 private:
  std::optional<pid_t> find() const {
    for (const pid_t pid : children_of(::getpid()))
      if (pid_namespace_ != 0 && namespace_of(pid, "pid") == pid_namespace_ &&
          inner_pid_of(pid) == pid_inside_)
        return pid;
    return std::nullopt;
  }
  pid_t pid_inside_;
  ino_t pid_namespace_ = 0;
  bool wanted_ = false;
};

/// Pids of the images, and one for CRIU itself that they do not use.
struct Pids {
  pid_t root;
  pid_t free;
};
Pids pids_of(const fs::path& images) {
  const CriuImage tree = CriuImage::read(images / "pstree.img", ImageKind::pstree);
  std::set<uint32_t> taken;
  for (size_t i = 0; i < tree.size(); ++i) {
    const auto process = tree.entry<criu::Process>(i);
    taken.insert({process.pid(), process.pgid(), process.sid()});
    taken.insert(process.threads().begin(), process.threads().end());
  }
  uint32_t free = 32000;  // below the least pid_max there is
  while (taken.contains(free)) --free;
  return {static_cast<pid_t>(tree.entry<criu::Process>(0).pid()), static_cast<pid_t>(free)};
}

}  // namespace

void criu_dump(const CriuProgram& criu, const DumpOptions& options, const StartInside& start,
               const CriuNotify& notify, CancelToken& cancel) {
  criu::Request request = request_of(criu::DUMP, options);
  criu::Options& o = *request.mutable_opts();
  o.set_pid(options.pid);
  o.set_leave_running(options.leave_running);
  o.set_link_remap(options.link_remap);
  o.set_force_irmap(true);
  for (const std::string& folder : options.watched_below) o.add_irmap_scan_paths(folder);
  o.set_ghost_limit(options.ghost_limit);

  CriuWorker worker(criu, options, start, {}, 0);
  const auto watch = [&](std::string_view station) {
    cancel.check();
    if (notify) notify(station);
  };
  // Not interrupted elsewhere: CRIU that ends while its code is in the target takes the target along.
  const criu::Response response = converse(
      worker, request, options.kernel_facts, watch, [] {}, nullptr);
  if (!response.success()) throw worker.failure("cannot dump");
  worker.finish();
}

struct CriuRestore::Impl {
  Impl(const CriuProgram& criu, const RestoreOptions& options, const StartInside& start)
      : kernel_facts(options.kernel_facts),
        request(request_of(criu::RESTORE, options)),
        pids(pids_of(options.images)),
        root(pids.root),
        worker(criu, options, start, inherit(options), pids.free) {
    root.expect_beside(worker.pid());
  }

  /// Puts them in the request; gives ours in the order of the numbers that they get.
  std::vector<int> inherit(const RestoreOptions& options) {
    criu::Options& o = *request.mutable_opts();
    o.set_rst_sibling(true);
    o.set_lazy_pages(options.lazy_pages);
    std::vector<int> inherited;
    for (const auto& [key, fd] : options.inherit) {
      criu::InheritFd& entry = *o.add_inherit_fd();
      entry.set_key(key);
      entry.set_fd(CriuWorker::first_inherited + static_cast<int>(inherited.size()));
      inherited.push_back(fd);
    }
    return inherited;
  }

  const Bytes kernel_facts;
  criu::Request request;
  const Pids pids;
  RestoredRoot root;
  CriuWorker worker;
};

CriuRestore::CriuRestore(const CriuProgram& criu, const RestoreOptions& options, const StartInside& start)
    : impl_(std::make_unique<Impl>(criu, options, start)) {}

CriuRestore::~CriuRestore() = default;

int CriuRestore::pidfd() const {
  return impl_->worker.pidfd();
}

Child CriuRestore::restore(const CriuNotify& notify, CancelToken& cancel) {
  Impl& i = *impl_;
  const auto restored = [&] {
    try {
      // From "pre-resume" on CRIU resumes what it restored even if told that something failed.
      return converse(
          i.worker, i.request, i.kernel_facts, notify, [&] { i.root.kill(); }, &cancel);
    } catch (...) {
      i.root.kill();  // before the worker ends: what it traces would run on then
      throw;
    }
  };
  const criu::Response response = restored();
  if (!response.success()) throw i.worker.failure("cannot restore");
  Child root = i.root.take();
  i.worker.finish();
  return root;
}

Child criu_restore(const CriuProgram& criu, const RestoreOptions& options, const StartInside& start,
                   const CriuNotify& notify, CancelToken& cancel) {
  return CriuRestore(criu, options, start).restore(notify, cancel);
}

}  // namespace coldstart
