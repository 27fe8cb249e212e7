// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include <fmt/format.h>

#include "commands/commands.h"
#include "commands/manifest_walkers.h"
#include "commands/remote_options.h"
#include "core/remote/remote.h"

namespace coldstart {

namespace {

struct PushArguments {
  std::string reference, url;
  unsigned jobs = 4;
  RemoteArguments access;
};

/// A name may be an image's or a snapshot's.
std::pair<RefKind, Ref> find_here(Store& store, const std::string& reference) {
  std::optional<Ref> image, snapshot;
  std::optional<Error> no_image;
  try {
    image = store.resolve(RefKind::image, reference);
  } catch (const Error& e) {
    if (e.exit() != Exit::not_found) throw;
    no_image = e;
  }
  try {
    snapshot = store.resolve(RefKind::snapshot, reference);
  } catch (const Error& e) {
    if (e.exit() != Exit::not_found) throw;
    if (!image)
      throw Error::not_found("there is no image and no snapshot " + reference,
                             no_image->hint().starts_with("did") ? no_image->hint() : e.hint());
  }
  if (image && snapshot)
    throw Error::usage("there is an image and a snapshot " + reference,
                       "push it by its digest: coldstart image inspect, coldstart snapshot inspect");
  if (image) return {RefKind::image, *image};
  return {RefKind::snapshot, *snapshot};
}

void run_push(Session& session, const PushArguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  const std::shared_ptr<Store> store = session.store();
  const auto [kind, ref] = find_here(*store, arguments.reference);
  const std::string url = normal_url(arguments.url);
  PushOptions options{arguments.jobs, arguments.access.options(session)};
  const PushResult result = push(store, kind, ref, url, options, content_walkers(), session.operation());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  session.console.line(fmt::format("{} is at {}; sent {}, {} were there; {}", ref.name.text(), url,
                                   human_bytes(result.bytes_sent), human_bytes(result.bytes_skipped),
                                   human_seconds(seconds)));
  session.console.result({{"reference", ref.name.text()},
                          {"digest", result.digest.text()},
                          {"url", url},
                          {"bytes_sent", result.bytes_sent},
                          {"bytes_skipped", result.bytes_skipped},
                          {"seconds", seconds}});
}

}  // namespace

void add_push(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("push", "Send an image or a snapshot to a remote: what it lacks of it");
  command->footer(
      "Examples:\n"
      "  coldstart push llm:v1 s3://models/prod\n"
      "  coldstart push llm:warm oci://registry.example.com/team/models\n"
      "  coldstart push llm:v1 /srv/www/models     (for a web server to serve)");
  const auto arguments = std::make_shared<PushArguments>();
  command->add_option("REF", arguments->reference, "The image or snapshot")->required();
  command
      ->add_option("URL", arguments->url,
                   "file:/PATH or a path, s3://BUCKET[/PREFIX], oci://REGISTRY/REPOSITORY")
      ->required();
  command->add_option("-j,--jobs", arguments->jobs, "Objects sent at once")
      ->check(CLI::Range(1U, 64U))
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("--remote-timeout", arguments->access.timeout,
                   "How long the remote may stay silent, tries again included (default 30)")
      ->check(CLI::Range(0.1, 86400.0))
      ->type_name("SECONDS");
  arguments->access.add_limit_to(*command);
  command->callback([&session, arguments] { run_push(session, *arguments); });
}

}  // namespace coldstart
