// SPDX-License-Identifier: Apache-2.0
// The process behind a mount; started by `mount`, `run` and `restore`, not by people.

#include "cli/log_file.h"
#include "commands/commands.h"
#include "core/base/log.h"
#include "core/image/image.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/mount_table.h"

namespace coldstart {

namespace {

struct ServeArguments {
  std::string digest;
  std::string mountpoint;
  MountOptions mount;
  int fuse_fd = -1;
  int ready_fd = -1;
};

void serve(Session& session, const ServeArguments& arguments) {
  const Fd fuse(arguments.fuse_fd);
  Fd ready(arguments.ready_fd);
  try {
    const std::shared_ptr<Store> store = session.store();
    log_to_file(image_server_log(store->root()), arguments.mountpoint);
    const std::optional<Digest> digest = Digest::parse(arguments.digest);
    if (!digest) throw Error::usage("not a digest: " + arguments.digest);
    const Store::Lease lease = store->lease("mount", {{RefKind::image, *digest}});
    const ImageReader image = open_image(*store, read_image_manifest(*store, *digest));
    ServeOptions options;
    options.mount = arguments.mount;
    options.stop_fd = session.cancel.fd();
    serve_image(fuse.get(), *store, image, options, ready.get());
  } catch (const Error& e) {
    report_start_failure(ready.get(), e);
    throw;
  }
  if (session.cancel.cancelled() && is_image_mount(arguments.mountpoint)) unmount_image(arguments.mountpoint);
}

}  // namespace

void add_serve_image(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("serve-image", "Answer the kernel's requests to a mounted image");
  const auto arguments = std::make_shared<ServeArguments>();
  command->add_option("DIGEST", arguments->digest, "The image")->required();
  command->add_option("--mountpoint", arguments->mountpoint, "Where it is mounted")->required();
  command->add_option("--prefetch", arguments->mount.prefetch, "What to cache")
      ->transform(CLI::CheckedTransformer(prefetch_names));
  command->add_option("--cache-size", arguments->mount.cache_bytes, "Of the disk cache; 0: as by default");
  command->add_option("--fuse-fd", arguments->fuse_fd, "The descriptor of the mount")->required();
  command->add_option("--ready-fd", arguments->ready_fd, "Told when the mount is usable")->required();
  command->callback([&session, arguments] { serve(session, *arguments); });
}

}  // namespace coldstart
