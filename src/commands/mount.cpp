// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include "commands/commands.h"
#include "core/image/image.h"
#include "core/imagefs/imagefs.h"

namespace coldstart {

namespace {

struct MountArguments {
  std::string reference;
  std::string folder;
  bool foreground = false;
  MountOptions options;
};

/// Until the mount is gone or we are told to end; then both the server and the mount go.
void stay(Session& session, Child& server) {
  pollfd polls[2] = {{server.pidfd(), POLLIN, 0}, {session.cancel.fd(), POLLIN, 0}};
  while (::poll(polls, 2, -1) < 0)
    if (errno != EINTR) throw Error::sys("cannot wait for the image server");
  session.cancel.check();
  const ExitState end = server.wait();
  if (!end.ok())
    throw Error("the image server ended with status " + std::to_string(end.status()),
                "see " + image_server_log(session.store_root).string());
}

void mount_image(Session& session, const MountArguments& arguments) {
  Timeline::Span span = session.timeline.span("image.mount");
  const std::shared_ptr<Store> store = session.store();
  const Ref ref = store->resolve(RefKind::image, arguments.reference);
  // Until the server has its own lease nothing may take the image away.
  const Store::Lease lease = store->lease("mount", {{RefKind::image, ref.digest}});
  FuseMount mount(arguments.folder, "coldstart:" + ref.name.text());
  Child server = start_image_server(mount, store->root(), ref.digest, session.cancel, arguments.foreground,
                                    arguments.options);
  const double seconds = span.end();
  session.console.result(OrderedJson{
      {"mountpoint", mount.folder().string()}, {"digest", ref.digest.text()}, {"seconds", seconds}});
  session.console.line(arguments.reference + " is mounted on " + mount.folder().string());
  if (arguments.foreground) {
    stay(session, server);
  } else {
    server.release();
    mount.release();
  }
}

}  // namespace

void add_mount(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("mount", "Mount an image: lazy, read-only, usable at once");
  command->footer(
      "Examples:\n"
      "  coldstart mount llm:v1 /mnt/llm");
  const auto arguments = std::make_shared<MountArguments>();
  command->add_option("REF", arguments->reference, "The image")->required();
  command->add_option("DIR", arguments->folder, "An empty folder")->required();
  command->add_flag("-f,--foreground", arguments->foreground, "Stay; Ctrl-C unmounts");
  command
      ->add_option(
          "--prefetch", arguments->options.prefetch,
          "What is cached uncompressed on the local disk, in the background: 'auto', what is opened; "
          "'all', the whole image; 'none'")
      ->transform(CLI::CheckedTransformer(prefetch_names).description(""))
      ->type_name("auto|all|none")
      ->default_str("auto");
  command
      ->add_option(
          "--cache-size", arguments->options.cache_bytes,
          "Most that the disk cache of the store may take, e.g. 20G; a quarter of the file system by default")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE");
  command->callback([&session, arguments] { mount_image(session, *arguments); });
}

}  // namespace coldstart
