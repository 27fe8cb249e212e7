// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include <fmt/format.h>

#include "commands/commands.h"
#include "commands/manifest_walkers.h"
#include "commands/remote_options.h"
#include "core/remote/remote.h"

namespace coldstart {

namespace {

struct PullArguments {
  std::string url, tag;
  bool lazy = false;
  RemoteArguments access;
};

void run_pull(Session& session, const PullArguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  std::optional<RefName> as;
  if (!arguments.tag.empty()) as = RefName::parse(arguments.tag);
  const PullOptions options{arguments.lazy, arguments.access.options(session)};
  const std::shared_ptr<Store> store = session.store();
  const RemoteRef found = find_remote_ref(arguments.url, std::nullopt, options.remote);
  const PullResult result = pull(store, found, as, options, content_walkers(), session.operation());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const char* kind = result.kind == RefKind::image ? "image" : "snapshot";
  session.console.line(fmt::format("{} {}", result.reference.text(), result.digest.text()));
  session.console.line(fmt::format("{}, received {}, {} {}; {}", kind, human_bytes(result.bytes_received),
                                   human_bytes(result.bytes_skipped),
                                   arguments.lazy ? "come when they are read" : "were here",
                                   human_seconds(seconds)));
  session.console.result({{"reference", result.reference.text()},
                          {"digest", result.digest.text()},
                          {"kind", kind},
                          {"url", found.url},
                          {"lazy", arguments.lazy},
                          {"bytes_received", result.bytes_received},
                          {"bytes_skipped", result.bytes_skipped},
                          {"seconds", seconds}});
}

}  // namespace

void add_pull(CLI::App& app, Session& session) {
  auto* command =
      app.add_subcommand("pull", "Bring an image or a snapshot from a remote: what is lacking here");
  command->footer(
      "Examples:\n"
      "  coldstart pull s3://models/prod/llm:v1\n"
      "  coldstart pull --lazy https://models.example.com/prod/llm:warm && coldstart restore llm:warm");
  const auto arguments = std::make_shared<PullArguments>();
  command
      ->add_option(
          "URL", arguments->url,
          "The remote and the name there: URL/NAME[:TAG]; the name may be left out if there is one only")
      ->required();
  command->add_flag("--lazy", arguments->lazy, "Only the metadata; content comes when it is read");
  command->add_option("-t,--tag", arguments->tag, "What to call it here (else as there)")->type_name("REF");
  arguments->access.add_to(*command);
  arguments->access.add_limit_to(*command);
  command->callback([&session, arguments] { run_pull(session, *arguments); });
}

}  // namespace coldstart
