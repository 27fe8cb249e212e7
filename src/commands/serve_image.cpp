// SPDX-License-Identifier: Apache-2.0
// The processes behind a mount; started by `mount`, `run` and `restore`, not by people.

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "cli/log_file.h"
#include "commands/commands.h"
#include "core/base/log.h"
#include "core/image/image.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/keeper.h"
#include "core/imagefs/metadata_cache.h"
#include "core/imagefs/mount_share.h"
#include "core/sandbox/sandbox.h"

namespace coldstart {

namespace {

struct Arguments {
  std::string digest;
  std::string mountpoint;
  MountOptions mount;
  std::string far_trace;  ///< of `mount`, as text
  int fuse_fd = -1;
  int ready_fd = -1;
  int state_fd = -1;
  int opens_fd = -1;
  int presence_fd = -1;  ///< never closed: who unmounts waits until it is, by our end
  int keeper = 0;
  std::string upgrade_failure;
  bool die_together = false;
  std::string share;
  int tree_fd = -1;
  int alive_fd = -1;
};

/// Told to whoever started us; then the descriptor is closed.
template <class Work>
void or_tell(Fd& ready, Work work) {
  try {
    work();
  } catch (const Error& e) {
    if (ready) report_start_failure(ready.get(), e);
    log::warn("{}", e.what());
    throw;
  }
}

Digest parsed_digest(const std::string& text) {
  const std::optional<Digest> parsed = Digest::parse(text);
  if (!parsed) throw Error::usage("not a digest: " + text);
  return *parsed;
}

MountOptions mount_options(const Arguments& arguments) {
  MountOptions options = arguments.mount;
  if (!arguments.far_trace.empty()) options.far_trace = parsed_digest(arguments.far_trace);
  return options;
}

/// None if it cannot be had: it only makes things quicker.
AccessTrace far_trace(Store& store, const Digest& chunk, const ImageReader& image) {
  try {
    return parse_trace(as_text(store.read(chunk)), image, "the access trace " + chunk.text());
  } catch (const Error& e) {
    log::warn("{}", e.what());
    return {};
  }
}

struct Held {
  Held(Session& session, const Arguments& arguments) : store(session.store()) {
    log_to_file(image_server_log(store->root()), arguments.mountpoint);
    digest = parsed_digest(arguments.digest);
    lease.emplace(store->lease("mount", {{RefKind::image, digest}}));
  }
  std::shared_ptr<Store> store;
  Digest digest;
  std::optional<Store::Lease> lease;
};

/// SIGHUP no longer ends us: it can be waited for.
Fd take_hangups() {
  sigset_t hangup;
  sigemptyset(&hangup);
  sigaddset(&hangup, SIGHUP);
  check(::sigprocmask(SIG_BLOCK, &hangup, nullptr), "cannot block signals");
  return Fd(check(::signalfd(-1, &hangup, SFD_CLOEXEC | SFD_NONBLOCK), "cannot take signals"));
}

/// A descriptor that is readable when one of both is.
class Either {
 public:
  Either(int a, int b) : epoll_(check(::epoll_create1(EPOLL_CLOEXEC), "cannot wait for signals")) {
    for (const int fd : {a, b}) {
      epoll_event event{};
      event.events = EPOLLIN;
      check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "cannot wait for signals");
    }
  }
  int fd() const { return epoll_.get(); }

 private:
  Fd epoll_;
};

void serve(Session& session, const Arguments& arguments) {
  const Fd fuse(arguments.fuse_fd);
  const Fd state(arguments.state_fd);
  const Fd opens(arguments.opens_fd);
  Fd ready(arguments.ready_fd);
  or_tell(ready, [&] {
    const Fd hangups = take_hangups();
    const Either stop(session.cancel.fd(), hangups.get());
    const Held held(session, arguments);
    const ImageManifest manifest = read_image_manifest(*held.store, held.digest);
    FileCache cache(held.store->root(), arguments.mount.cache_bytes);
    const ImageReader image = open_cached_image(*held.store, cache, manifest);
    ServeOptions options;
    if (arguments.mount.prefetch != Prefetch::none) options.trace = read_trace(*held.store, manifest, image);
    options.folder = arguments.mountpoint;
    options.mount = mount_options(arguments);
    if (options.mount.far_trace && held.store->origin() != nullptr)
      options.far_trace = far_trace(*held.store, *options.mount.far_trace, image);
    options.manifest = manifest;
    options.stop_fd = stop.fd();
    options.state_fd = state.get();
    options.opens_fd = opens.get();
    options.keeper = arguments.keeper;
    options.upgrade_failure = arguments.upgrade_failure;
    // What is still fetched from afar is for nobody any more.
    options.gone = [&session] { session.cancel.cancel(); };
    serve_image(fuse.get(), *held.store, image, options, [&ready] {
      write_full(ready.get(), as_bytes("+"));
      ready.reset();
    });
  });
}

/// How long a mount stays for the next who wants the image.
std::chrono::milliseconds linger() {
  constexpr std::chrono::seconds by_default{60};
  const char* text = std::getenv("COLDSTART_IMAGE_LINGER");
  if (text == nullptr) return by_default;
  double seconds = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), seconds);
  if (error != std::errc() || *end != '\0' || !(seconds >= 0 && seconds <= 1e6)) {
    log::warn("COLDSTART_IMAGE_LINGER is '{}', which is no number of seconds", text);
    return by_default;
  }
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

void keep(Session& session, const Arguments& arguments) {
  const Fd fuse(arguments.fuse_fd);
  Fd ready(arguments.ready_fd);
  or_tell(ready, [&] {
    const Fd hangups = take_hangups();
    const Held held(session, arguments);
    if (!arguments.share.empty()) {
      const Fd tree(arguments.tree_fd);
      own_mount_namespace();
      attach_mount(tree.get(), arguments.mountpoint);
    }
    keep_image({.fuse_fd = fuse.get(),
                .presence_fd = arguments.presence_fd,
                .folder = arguments.mountpoint,
                .store_root = std::filesystem::absolute(held.store->root()),
                .image = held.digest,
                .mount = mount_options(arguments),
                .die_together = arguments.die_together,
                .share = arguments.share,
                .linger = linger(),
                .state_fd = arguments.state_fd,
                .opens_fd = arguments.opens_fd,
                .alive_fd = arguments.alive_fd},
               hangups.get(), session.cancel, [&ready] {
                 write_full(ready.get(), as_bytes("+"));
                 ready.reset();
               });
  });
}

CLI::App* add_process(CLI::App& app, const char* name, const char* what,
                      const std::shared_ptr<Arguments>& arguments) {
  auto* command = app.add_subcommand(name, what);
  command->add_option("DIGEST", arguments->digest, "The image")->required();
  command->add_option("--mountpoint", arguments->mountpoint, "Where it is mounted")->required();
  command->add_option("--prefetch", arguments->mount.prefetch, "What to cache")
      ->transform(CLI::CheckedTransformer(prefetch_names));
  command->add_option("--cache-size", arguments->mount.cache_bytes, "Of the disk cache; 0: as by default");
  command->add_flag("--pass-through,!--no-pass-through", arguments->mount.pass_through,
                    "Let the kernel read");
  command->add_option("--record", arguments->mount.record, "Where to write what is read; empty: nowhere");
  command->add_option("--far-trace", arguments->far_trace, "The chunk with what to fetch first from afar");
  command->add_option("--fuse-fd", arguments->fuse_fd, "The descriptor of the mount")->required();
  command->add_option("--ready-fd", arguments->ready_fd, "Told when the mount is usable")->required();
  command->add_option("--presence-fd", arguments->presence_fd, "To be held until we end");
  return command;
}

}  // namespace

void add_serve_image(CLI::App& app, Session& session) {
  const auto arguments = std::make_shared<Arguments>();
  auto* command =
      add_process(app, "serve-image", "Answer the kernel's requests to a mounted image", arguments);
  command->add_option("--state-fd", arguments->state_fd, "What was agreed on with the kernel")->required();
  command->add_option("--opens-fd", arguments->opens_fd, "How files are open")->required();
  command->add_option("--keeper", arguments->keeper, "The pid of who replaces us when we die");
  command->add_option("--upgrade-failure", arguments->upgrade_failure, "Why we serve, and no newer program");
  command->callback([&session, arguments] { serve(session, *arguments); });
}

void add_keep_image(CLI::App& app, Session& session) {
  const auto arguments = std::make_shared<Arguments>();
  auto* command = add_process(app, "keep-image", "Keep a mounted image served", arguments);
  command->add_option("--share", arguments->share, "The folder of a mount that is shared");
  command->add_option("--tree-fd", arguments->tree_fd, "The shared mount");
  command->add_option("--state-fd", arguments->state_fd, "What a keeper before us agreed on with the kernel");
  command->add_option("--opens-fd", arguments->opens_fd, "How files were open by then");
  command->add_option("--alive-fd", arguments->alive_fd, "Of a shared mount: to see when we have ended");
  command->add_flag("--die-together", arguments->die_together, "The server ends when we do");
  command->callback([&session, arguments] { keep(session, *arguments); });
}

}  // namespace coldstart
