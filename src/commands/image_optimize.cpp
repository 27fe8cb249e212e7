// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "commands/commands.h"
#include "commands/replica_options.h"
#include "core/image/trace.h"

namespace coldstart {

namespace {

struct Options {
  ReplicaOptions replica;
  ReadyOptions ready;
};

/// Runs the program in the image until it ends, or is ready; what it reads is written to spec.record.
void run_recorded(Session& session, ReplicaSpec& spec, bool until_ready) {
  Replicas replicas(session.store()->root());
  ReplicaFront front(replicas, spec);
  front.wait_ready(session.cancel);
  if (until_ready) return;
  if (const int status = attend(front); status != 0)
    throw Error(fmt::format("the command ended with status {}: the image stays as it was", status));
}

void optimize(Session& session, const Options& options) {
  const std::shared_ptr<Store> store = session.store();
  const Ref ref = store->resolve(RefKind::image, options.replica.image);
  if (Digest::parse(options.replica.image) || ref.name.name.empty())
    throw Error::usage("the image must be given by its name, which will lead to the optimized one");
  const Store::Lease lease = store->lease("image optimize", {{RefKind::image, ref.digest}});
  const Store::Scratch scratch = store->scratch();
  const std::filesystem::path file = scratch.path() / "trace";
  ReplicaSpec spec = options.replica.spec(session, session.program);
  const std::optional<Readiness> ready = options.ready.chosen();
  spec.ready = ready.value_or(Readiness());
  spec.stdin_from_caller = !ready;
  spec.output_to_caller = !session.console.json;
  spec.record = file;
  run_recorded(session, spec, ready.has_value());

  const ImageReader reader = open_image(*store, read_image_manifest(*store, ref.digest));
  const AccessTrace trace = parse_trace(read_text(file, size_t{1} << 30), reader, file.string());
  uint64_t bytes = 0, stored = 0;
  std::vector<bool> counted(reader.chunks().size());
  for (const TraceRange& range : trace)
    for (const ExtentRecord& extent :
         reader.extents(reader.inode(range.inode)).subspan(range.first, range.count)) {
      if (counted[extent.chunk]) continue;
      counted[extent.chunk] = true;
      bytes += reader.chunks()[extent.chunk].length;
      stored += store->stored_size(ImageReader::digest(reader.chunks()[extent.chunk]));
    }
  const Digest digest = add_trace(store, ref.digest, trace, ref.name, session.operation());
  session.console.note(fmt::format("{} {}: its start reads {}, compressed {}, in {} places", ref.name.text(),
                                   digest.text(), human_bytes(bytes), human_bytes(stored), trace.size()));
  session.console.result({{"reference", ref.name.text()},
                          {"digest", digest.text()},
                          {"places", trace.size()},
                          {"bytes", bytes},
                          {"stored_bytes", stored}});
}

}  // namespace

void add_image_optimize(CLI::App& image, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = image.add_subcommand(
      "optimize", "Run a command in an image and note what it reads, for mounts to fetch ahead");
  command->footer(
      "The command's start should be the one that is to be quick. The name then leads to an image with the "
      "same tree and another digest.\n"
      "\n"
      "Examples:\n"
      "  coldstart image optimize llm:v1 -- python3 -c 'import torch'\n"
      "  coldstart image optimize llm:v1 --ready http://127.0.0.1:8000/health -- python3 /srv/serve.py");
  command->add_option("REF", options->replica.image, "The image, by name")->required();
  options->ready.add(*command);
  options->replica.add_surroundings(*command);
  session.takes_program(command);
  command->callback([&session, options] { optimize(session, *options); });
}

}  // namespace coldstart
