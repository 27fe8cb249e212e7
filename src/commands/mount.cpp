// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <poll.h>

#include "commands/commands.h"
#include "commands/manifest_walkers.h"
#include "commands/remote_options.h"
#include "core/image/image.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/mount_stat.h"
#include "core/imagefs/mount_upgrade.h"

namespace coldstart {

namespace {

struct MountArguments {
  std::string reference;
  std::string folder;
  bool foreground = false;
  MountOptions options;
  std::string remote;
  RemoteArguments access;
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

/// The image's metadata comes here; its content does when it is read.
void know_remote_image(Session& session, const MountArguments& arguments) {
  const RefName name = RefName::parse(arguments.reference);
  PullOptions options{true, arguments.access.options(session)};
  const RemoteRef found = find_remote_ref(arguments.remote, name, RefKind::image, options.remote);
  pull(session.store(), found, name, options, content_walkers(), session.operation());
}

void mount_image(Session& session, const MountArguments& arguments) {
  Timeline::Span span = session.timeline.span("image.mount");
  const std::shared_ptr<Store> store = session.store();
  if (!arguments.remote.empty()) know_remote_image(session, arguments);
  const Ref ref = store->resolve(RefKind::image, arguments.reference);
  // Until the server has its own lease nothing may take the image away.
  const Store::Lease lease = store->lease("mount", {{RefKind::image, ref.digest}});
  MountOptions options = arguments.options;
  if (!options.record.empty()) options.record = std::filesystem::absolute(options.record);
  FuseMount mount(arguments.folder, "coldstart:" + ref.name.text());
  Child server =
      start_image_server(mount, store->root(), ref.digest, session.cancel, arguments.foreground, options);
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

void show_stat(Session& session, const std::string& folder, bool prometheus) {
  const OrderedJson stat = mount_stat(folder);
  session.console.result(stat);
  if (prometheus) {
    session.console.raw() << as_prometheus(stat, std::filesystem::absolute(folder));
    return;
  }
  const auto seconds = [&](const char* which) {
    return human_seconds(stat["fetch_seconds"][which].get<double>());
  };
  std::vector<std::vector<std::string>> rows = {
      {"server", fmt::format("pid {}, coldstart {}, {}", stat["pid"].get<int>(),
                             stat.value("version", "of before"), human_bytes(stat["memory_bytes"]))}};
  for (const auto& [tier, counters] : stat["tiers"].items())
    rows.push_back({"from " + tier, fmt::format("{} in {} pieces", human_bytes(counters["bytes"]),
                                                counters["hits"].get<uint64_t>())});
  rows.push_back({"fetching a chunk", fmt::format("median {}, 90 % {}, 99 % {}", seconds("p50"),
                                                  seconds("p90"), seconds("p99"))});
  rows.push_back({"passed through", fmt::format("{} of {} opens", stat["passed_through"].get<uint64_t>(),
                                                stat["opens"].get<uint64_t>())});
  rows.push_back({"disk cache", fmt::format("{} of at most {}", human_bytes(stat["disk_cache"]["bytes"]),
                                            human_bytes(stat["disk_cache"]["limit"]))});
  rows.push_back({"errors", std::to_string(stat["errors"].get<uint64_t>())});
  session.console.table({"what", ""}, rows);
}

void add_mount_stat(CLI::App& mount, Session& session) {
  auto* command = mount.add_subcommand("stat", "What the server of a mount has done");
  const auto folder = std::make_shared<std::string>();
  const auto prometheus = std::make_shared<bool>(false);
  command->add_option("DIR", *folder, "The mount point")->required();
  command->add_flag("--prometheus", *prometheus, "As text for Prometheus");
  command->callback([&session, folder, prometheus] { show_stat(session, *folder, *prometheus); });
}

void upgrade(Session& session, const std::string& folder) {
  const auto [before, now] = upgrade_mount(folder, session.cancel);
  const auto json = [](const MountServer& server) {
    return OrderedJson{{"pid", server.pid}, {"version", server.version}};
  };
  session.console.result(OrderedJson{{"mountpoint", folder}, {"before", json(before)}, {"now", json(now)}});
  session.console.line(fmt::format("{} is served by coldstart {} (pid {}); before: {} (pid {})", folder,
                                   now.version, now.pid, before.version, before.pid));
}

void add_mount_upgrade(CLI::App& mount, Session& session) {
  auto* command = mount.add_subcommand("upgrade", "Go over to the installed program, under the living mount");
  const auto folder = std::make_shared<std::string>();
  command->add_option("DIR", *folder, "The mount point")->required();
  command->callback([&session, folder] { upgrade(session, *folder); });
}

}  // namespace

void add_mount(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("mount", "Mount an image: lazy, read-only, usable at once");
  command->footer(
      "Examples:\n"
      "  coldstart mount llm:v1 /mnt/llm\n"
      "  coldstart mount llm:v1 /mnt/llm --remote s3://models/prod");
  const auto arguments = std::make_shared<MountArguments>();
  // Required, unless the subcommand is meant.
  command->add_option("REF", arguments->reference, "The image");
  command->add_option("DIR", arguments->folder, "An empty folder");
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
  command
      ->add_option("--remote", arguments->remote,
                   "Where the image is, if it is not here: read lazily from there")
      ->type_name("URL");
  arguments->access.add_to(*command);
  command
      ->add_option("--record", arguments->options.record,
                   "Write what is read, in order, to this file; for 'image pack --trace'")
      ->type_name("FILE");
  add_mount_stat(*command, session);
  add_mount_upgrade(*command, session);
  command->require_subcommand(0, 1);
  command->callback([&session, arguments, command] {
    if (!command->get_subcommands().empty()) return;
    if (arguments->reference.empty()) throw CLI::RequiredError("REF");
    if (arguments->folder.empty()) throw CLI::RequiredError("DIR");
    mount_image(session, *arguments);
  });
}

}  // namespace coldstart
