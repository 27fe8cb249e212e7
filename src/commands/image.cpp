// SPDX-License-Identifier: Apache-2.0
#include "core/image/image.h"

#include <algorithm>
#include <chrono>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/commands.h"
#include "core/image/diff.h"
#include "core/image/path.h"
#include "core/image/source.h"
#include "core/image/trace.h"
#include "core/remote/origin_record.h"

namespace coldstart {

namespace {

struct PackArguments {
  std::string source, reference, platform, trace;
  BuildOptions build;
};

struct OpenedSource {
  Fd file;  // what a tar is read from; outlives the source
  std::unique_ptr<TreeSource> tree;
};

/// "PATH[:REF]" after the scheme: the longest PATH that is there, so that both may have colons.
std::pair<std::string, std::string> split_reference(const std::string& text) {
  std::error_code ignored;
  for (size_t colon = text.size(); colon != text.npos && colon > 0; colon = text.rfind(':', colon - 1))
    if (std::filesystem::exists(text.substr(0, colon), ignored))
      return {text.substr(0, colon), colon == text.size() ? "" : text.substr(colon + 1)};
  throw Error("there is no " + text.substr(0, text.find(':')));
}

/// An image that other tools made; null if the source is no such thing.
std::unique_ptr<TreeSource> open_foreign_image(const PackArguments& arguments, const CancelToken& cancel) {
  const std::string& source = arguments.source;
  const auto platform =
      arguments.platform.empty() ? OciPlatform::host() : OciPlatform::parse(arguments.platform);
  const auto after = [&](std::string_view scheme) { return split_reference(source.substr(scheme.size())); };
  if (source.starts_with("oci:")) {
    const auto [folder, reference] = after("oci:");
    return open_oci_source(folder, reference, platform);
  }
  if (source.starts_with("docker-archive:")) {
    const auto [file, reference] = after("docker-archive:");
    return open_docker_archive(file, reference, platform, cancel);
  }
  if (!arguments.platform.empty()) throw Error::usage("--platform is for oci: and docker-archive: only");
  return nullptr;
}

/// What SOURCE means.
OpenedSource open_source(const PackArguments& arguments, const CancelToken& cancel) {
  const std::string& source = arguments.source;
  OpenedSource opened;
  opened.tree = open_foreign_image(arguments, cancel);
  if (opened.tree) return opened;
  if (source == "-") {
    if (::isatty(STDIN_FILENO) == 1)
      throw Error::usage("'-' reads a tar on stdin, but that is a terminal",
                         "tar -c … | coldstart image pack - …");
    opened.tree = open_tar_source(STDIN_FILENO, "on stdin");
    return opened;
  }
  struct stat st {};
  if (::stat(source.c_str(), &st) != 0) throw Error::sys("cannot pack " + source);
  if (S_ISDIR(st.st_mode)) {
    opened.tree = open_dir_source(source);
  } else {
    opened.file = open_file(source, O_RDONLY);
    opened.tree = open_tar_source(opened.file.get(), source);
  }
  return opened;
}

void pack(Session& session, const PackArguments& arguments) {
  const RefName reference = RefName::parse(arguments.reference);
  const auto start = std::chrono::steady_clock::now();
  OpenedSource source = open_source(arguments, session.cancel);
  const std::string trace = arguments.trace.empty() ? "" : read_text(arguments.trace, size_t{1} << 30);
  PackStats stats =
      build_image(session.store(), *source.tree, arguments.build, reference, session.operation());
  if (!trace.empty()) {
    const std::shared_ptr<Store> store = session.store();
    const ImageReader reader = open_image(*store, read_image_manifest(*store, stats.digest));
    stats.digest = add_trace(store, stats.digest, parse_trace(trace, reader, arguments.trace), reference,
                             session.operation());
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  session.console.line(fmt::format("{} {}", reference.text(), stats.digest.text()));
  session.console.line(fmt::format("{} files, {}; stored {}, of it {} new; {}", stats.files,
                                   human_bytes(stats.bytes), human_bytes(stats.stored_bytes),
                                   human_bytes(stats.new_bytes), human_seconds(seconds)));
  session.console.result({{"reference", reference.text()},
                          {"digest", stats.digest.text()},
                          {"files", stats.files},
                          {"bytes", stats.bytes},
                          {"stored_bytes", stats.stored_bytes},
                          {"new_bytes", stats.new_bytes},
                          {"seconds", seconds}});
}

/// An image that a command works on: found, opened, and kept from gc.
struct OpenedImage {
  OpenedImage(Session& session, const std::string& reference, const char* purpose)
      : store(session.store()),
        ref(store->resolve(RefKind::image, reference)),
        lease(store->lease(purpose, {{RefKind::image, ref.digest}})),
        manifest(read_image_manifest(*store, ref.digest)) {}
  ImageReader reader() const { return open_image(*store, manifest); }

  std::shared_ptr<Store> store;
  Ref ref;
  Store::Lease lease;
  ImageManifest manifest;
};

/// Where an image came from, and whether all of it is here by now.
struct Whereabouts {
  std::string remote;  // empty: from here
  bool lazy = false;
  Whereabouts(Store& store, const Digest& image) {
    const auto origin = read_origin(store.root(), image);
    if (!origin) return;
    remote = origin->url;
    std::vector<Digest> chunks;
    walk_image(store, image, chunks);
    lazy = std::any_of(chunks.begin(), chunks.end(), [&](const Digest& c) { return !store.has_here(c); });
  }
  std::string text() const { return lazy ? "lazy, " + remote : remote; }
};

void list(Session& session) {
  const auto store = session.store();
  std::vector<std::vector<std::string>> rows;
  OrderedJson all = OrderedJson::array();
  for (const Ref& ref : store->refs(RefKind::image)) {
    const ImageManifest manifest = read_image_manifest(*store, ref.digest);
    const uint64_t stored = image_stored_bytes(*store, ref.digest);
    const Whereabouts from(*store, ref.digest);
    rows.push_back({ref.name.text(), ref.digest.hex().substr(0, 12), std::to_string(manifest.files),
                    human_bytes(manifest.bytes), human_bytes(stored), human_age(ref.created), from.text()});
    all.push_back({{"reference", ref.name.text()},
                   {"digest", ref.digest.text()},
                   {"files", manifest.files},
                   {"bytes", manifest.bytes},
                   {"stored_bytes", stored},
                   {"created", ref.created},
                   {"remote", from.remote.empty() ? OrderedJson() : OrderedJson(from.remote)},
                   {"lazy", from.lazy}});
  }
  session.console.table({"REFERENCE", "DIGEST", ">FILES", ">SIZE", ">STORED", "CREATED", "REMOTE"}, rows);
  session.console.result(all);
}

struct Counts {
  uint64_t folders = 0, files = 0, links = 0, others = 0;
  explicit Counts(const ImageReader& image) {
    for (uint32_t n = root_inode; n <= image.inode_count(); ++n) {
      const uint32_t mode = image.inode(n).mode;
      ++(S_ISDIR(mode) ? folders : S_ISREG(mode) ? files : S_ISLNK(mode) ? links : others);
    }
  }
};

void inspect(Session& session, const std::string& reference) {
  const OpenedImage image(session, reference, "image inspect");
  const ImageReader reader = image.reader();
  const Counts counts(reader);
  const uint64_t stored = image_stored_bytes(*image.store, image.ref.digest);
  const ImageManifest& m = image.manifest;
  const auto say = [&](const char* what, const std::string& text) {
    session.console.line(fmt::format("{:<12} {}", what, text));
  };
  const auto say_words = [&](const char* what, const std::vector<std::string>& words) {
    if (!words.empty()) say(what, fmt::format("{}", fmt::join(words, " ")));
  };
  say("reference", image.ref.name.text());
  say("digest", image.ref.digest.text());
  say("created", human_age(image.ref.created));
  say("size", human_bytes(m.bytes));
  say("stored", fmt::format("{} in {} chunks", human_bytes(stored), reader.chunks().size()));
  say("metadata", human_bytes(m.blob_bytes));
  say("files", fmt::format("{} ({} files, {} folders, {} links, {} others)", m.files, counts.files,
                           counts.folders, counts.links, counts.others));
  say_words("entrypoint", m.config.entrypoint);
  say_words("command", m.config.command);
  say_words("environment", m.config.environment);
  if (!m.config.user.empty()) say("user", m.config.user);
  if (!m.config.folder.empty()) say("folder", m.config.folder);
  session.console.result({{"reference", image.ref.name.text()},
                          {"digest", image.ref.digest.text()},
                          {"created", image.ref.created},
                          {"files", m.files},
                          {"bytes", m.bytes},
                          {"stored_bytes", stored},
                          {"chunks", reader.chunks().size()},
                          {"metadata_bytes", m.blob_bytes},
                          {"kinds",
                           {{"files", counts.files},
                            {"folders", counts.folders},
                            {"links", counts.links},
                            {"others", counts.others}}},
                          {"config",
                           {{"entrypoint", m.config.entrypoint},
                            {"command", m.config.command},
                            {"environment", m.config.environment},
                            {"user", m.config.user},
                            {"folder", m.config.folder}}}});
}

void verify(Session& session, const std::string& reference, unsigned jobs) {
  const OpenedImage image(session, reference, "image verify");
  const VerifyResult result = verify_image(*image.store, image.reader(), jobs, session.operation());
  OrderedJson corrupt = OrderedJson::array();
  for (const auto& c : result.corrupt) {
    session.console.line(
        fmt::format("corrupt: {} in {}: {}", c.digest.text(), fmt::join(c.files, ", "), c.reason));
    corrupt.push_back({{"digest", c.digest.text()}, {"files", c.files}, {"reason", c.reason}});
  }
  if (result.corrupt.empty())
    session.console.line(fmt::format("{}: all {} chunks are right", image.ref.name.text(), result.chunks));
  else
    session.exit_status = static_cast<int>(Exit::corrupt);
  session.console.result({{"ok", result.corrupt.empty()}, {"chunks", result.chunks}, {"corrupt", corrupt}});
}

void unpack(Session& session, const std::string& reference, const std::string& folder, unsigned jobs) {
  const auto start = std::chrono::steady_clock::now();
  const OpenedImage image(session, reference, "image unpack");
  unpack_image(*image.store, image.reader(), folder, jobs, session.operation());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  session.console.line(fmt::format("{} files, {} in {}; {}", image.manifest.files,
                                   human_bytes(image.manifest.bytes), folder, human_seconds(seconds)));
  session.console.result({{"folder", folder},
                          {"digest", image.ref.digest.text()},
                          {"files", image.manifest.files},
                          {"bytes", image.manifest.bytes},
                          {"seconds", seconds}});
}

struct DiffArguments {
  std::string older, newer;
  bool exit_code = false;
};

void diff(Session& session, const DiffArguments& arguments) {
  const OpenedImage older(session, arguments.older, "image diff");
  const OpenedImage newer(session, arguments.newer, "image diff");
  OrderedJson lists[3] = {OrderedJson::array(), OrderedJson::array(), OrderedJson::array()};
  const DiffTotals totals = diff_images(older.reader(), newer.reader(), [&](const PathChange& change) {
    const auto kind = static_cast<size_t>(change.kind);
    const std::string what = change.what.empty() ? "" : fmt::format("  ({})", fmt::join(change.what, ", "));
    session.console.line(
        fmt::format("{} /{}{}", "ADC"[kind], change.path.empty() ? "" : shown(change.path), what));
    OrderedJson one = {{"path", "/" + change.path}, {"bytes", change.bytes}};
    if (change.kind == PathChange::Kind::changed) one["what"] = change.what;
    lists[kind].push_back(std::move(one));
  });
  session.console.note(fmt::format("{} added, {} removed, {} changed; {} of new content", totals.added,
                                   totals.removed, totals.changed, human_bytes(totals.new_bytes)));
  session.console.result({{"added", std::move(lists[0])},
                          {"removed", std::move(lists[1])},
                          {"changed", std::move(lists[2])},
                          {"new_bytes", totals.new_bytes}});
  if (arguments.exit_code && totals.added + totals.removed + totals.changed > 0) session.exit_status = 1;
}

void tag(Session& session, const std::string& reference, const std::string& name) {
  const RefName new_name = RefName::parse(name);
  const OpenedImage image(session, reference, "image tag");
  image.store->set_ref(RefKind::image, new_name, image.ref.digest);
  session.console.line(fmt::format("{} {}", new_name.text(), image.ref.digest.text()));
  session.console.result({{"reference", new_name.text()}, {"digest", image.ref.digest.text()}});
}

/// A name goes alone; a digest takes all names that lead to it along.
void remove(Session& session, const std::string& reference) {
  const auto store = session.store();
  const Ref found = store->resolve(RefKind::image, reference);
  const bool by_digest = Digest::parse(reference) || found.digest.hex().rfind(reference, 0) == 0 ||
                         found.digest.text().rfind(reference, 0) == 0;
  std::vector<std::string> removed;
  for (const Ref& ref : store->refs(RefKind::image))
    if ((by_digest ? ref.digest == found.digest : ref.name.text() == found.name.text()) &&
        store->remove_ref(RefKind::image, ref.name))
      removed.push_back(ref.name.text());
  for (const std::string& name : removed) session.console.line("removed " + name);
  session.console.note("'coldstart store gc' frees the space that nothing else needs");
  session.console.result({{"removed", removed}, {"digest", found.digest.text()}});
}

CLI::Option* add_jobs(CLI::App& command, unsigned& jobs) {
  return command.add_option("-j,--jobs", jobs, "Threads (default: as many as cores)")
      ->check(CLI::Range(1U, 1024U))
      ->type_name("N");
}

void add_pack(CLI::App& image, Session& session) {
  auto* command = image.add_subcommand("pack", "Make an image of a folder, a tar or an OCI image");
  auto arguments = std::make_shared<PackArguments>();
  command
      ->add_option("SOURCE", arguments->source,
                   "A folder, a tar (plain, or compressed with gzip, zstd or xz), - for a tar on stdin, "
                   "oci:DIR[:REF], or docker-archive:FILE[:REF]")
      ->required();
  command->add_option("-t,--tag", arguments->reference, "What to call the image")
      ->type_name("REF")
      ->required();
  command
      ->add_option("--level", arguments->build.pack.level,
                   "zstd level, 1 (fast) to 19 (small); the default is one of our own, between 1 and 2")
      ->check(CLI::Range(1, 19))
      ->type_name("N");
  command
      ->add_option("--chunk-size", arguments->build.chunk_bytes,
                   "Files are cut at multiples of this; 4K to 16M, a power of two (default 512K)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("BYTES");
  command
      ->add_option("--platform", arguments->platform,
                   "Of an OCI image for several platforms, the one to take (default: this host's)")
      ->type_name("OS/ARCH");
  command
      ->add_option("--trace", arguments->trace,
                   "What a start reads, as 'mount --record' wrote it: mounts will fetch it ahead")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  add_jobs(*command, arguments->build.pack.jobs);
  command->callback([&session, arguments] { pack(session, *arguments); });
}

/// A command that takes a REF and nothing else.
CLI::App* add_on_reference(CLI::App& image, const char* name, const char* what,
                           const std::shared_ptr<std::string>& ref) {
  auto* command = image.add_subcommand(name, what);
  command->add_option("REF", *ref, "NAME[:TAG], or a digest or the beginning of one")->required();
  return command;
}

}  // namespace

void add_image(CLI::App& app, Session& session) {
  auto* image = app.add_subcommand("image", "Make images and look after them");
  image->require_subcommand(1);
  image->footer(
      "Examples:\n"
      "  coldstart image pack ./rootfs -t llm:v1\n"
      "  coldstart image pack oci:./layout:v1 -t llm:v1\n"
      "  docker save llm:v1 >llm.tar && coldstart image pack docker-archive:llm.tar -t llm:v1\n"
      "  coldstart image unpack llm:v1 ./copy");
  add_pack(*image, session);
  add_image_optimize(*image, session);

  image->add_subcommand("ls", "List images")->callback([&session] { list(session); });

  const auto ref = std::make_shared<std::string>();
  const auto jobs = std::make_shared<unsigned>(0);
  add_on_reference(*image, "inspect", "What an image is made of", ref)->callback([&session, ref] {
    inspect(session, *ref);
  });

  auto* verify_command =
      add_on_reference(*image, "verify", "Check every byte of an image against its digest", ref);
  add_jobs(*verify_command, *jobs);
  verify_command->callback([&session, ref, jobs] { verify(session, *ref, *jobs); });

  const auto folder = std::make_shared<std::string>();
  auto* unpack_command =
      add_on_reference(*image, "unpack", "The tree of an image, exactly, in a folder", ref);
  unpack_command->add_option("DIR", *folder, "An empty folder, or one to be made")->required();
  add_jobs(*unpack_command, *jobs);
  unpack_command->callback([&session, ref, folder, jobs] { unpack(session, *ref, *folder, *jobs); });

  const auto pair = std::make_shared<DiffArguments>();
  auto* diff_command = image->add_subcommand("diff", "How an image differs from another");
  diff_command->add_option("OLDER", pair->older, "NAME[:TAG], or a digest or the beginning of one")
      ->required();
  diff_command->add_option("NEWER", pair->newer, "The image that is compared with it")->required();
  diff_command->add_flag("--exit-code", pair->exit_code, "Exit with 1 if they differ");
  diff_command->callback([&session, pair] { diff(session, *pair); });

  const auto name = std::make_shared<std::string>();
  auto* tag_command = add_on_reference(*image, "tag", "Give an image another name", ref);
  tag_command->add_option("NAME", *name, "NAME[:TAG]; if another image has it, it moves")->required();
  tag_command->callback([&session, ref, name] { tag(session, *ref, *name); });

  add_on_reference(*image, "rm", "Remove an image's name", ref)->callback([&session, ref] {
    remove(session, *ref);
  });
}

}  // namespace coldstart
