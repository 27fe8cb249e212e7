// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/commands.h"
#include "core/base/files.h"
#include "core/base/workers.h"
#include "core/checkpoint/manifest.h"
#include "core/pipeline/weights_hint.h"

namespace coldstart {

namespace {

struct Options {
  std::string reference;
  std::string list = "-";
  std::string file;
  RefillOptions refill{.readers = std::min(default_jobs(), 16U)};
  unsigned buffer_megabytes = 4;
};

constexpr size_t list_limit = size_t{256} << 20;

WeightsList read_list(const Options& options) {
  if (options.list != "-") return WeightsList::parse(read_text(options.list, list_limit), options.list);
  std::string text;
  for (char buffer[65536]; std::cin.read(buffer, sizeof buffer) || std::cin.gcount() > 0;) {
    text.append(buffer, static_cast<size_t>(std::cin.gcount()));
    if (text.size() > list_limit) throw Error::corrupt("the list on stdin is too long");
  }
  return WeightsList::parse(text, "the list on stdin");
}

/// An image by its name, or that of a snapshot.
Digest find_image(Store& store, const std::string& reference) {
  try {
    return store.resolve(RefKind::image, reference).digest;
  } catch (const Error& none) {
    if (none.exit() != Exit::not_found) throw;
    std::optional<Digest> image;
    try {
      image = read_snapshot_manifest(store, store.resolve(RefKind::snapshot, reference).digest).image;
    } catch (const Error& e) {
      if (e.exit() != Exit::not_found) throw;
      throw none;
    }
    if (!image)
      throw Error::not_found(fmt::format("the snapshot {} is of no image", reference),
                             "name the image that has the weights");
    return *image;
  }
}

/// With all that a call needs, the image kept in use.
class Call {
 public:
  Call(Session& session, const Options& options)
      : store(session.store()),
        list(read_list(options)),
        hint{image_for(options), options.file, options.refill},
        lease_(store->lease("weights", {{RefKind::image, hint.image}})) {
    hint.options.buffer_bytes = size_t{options.buffer_megabytes} << 20;
    hint.options.buffers = 2 * options.refill.readers;
  }

  const std::shared_ptr<Store> store;
  const WeightsList list;
  WeightsHint hint;

 private:
  /// What was dropped by one image is not filled by another that happens to have the name now.
  Digest image_for(const Options& options) const {
    if (options.reference.empty()) {
      if (list.image) return *list.image;
      throw Error::usage("no image was named", "name the image or the snapshot that has the weights");
    }
    const Digest named = find_image(*store, options.reference);
    if (list.image && *list.image != named)
      throw Error::usage(fmt::format("{} is another image than the list says", options.reference),
                         "leave the name out to take the list's, " + list.image->text());
    return named;
  }

  const Store::Lease lease_;
};

double speed(const RefillResult& result) {
  return result.seconds > 0 ? static_cast<double>(result.bytes) / result.seconds : 0;
}

void drop(Session& session, const Options& options) {
  const Call call(session, options);
  const DropResult result = compare_weights(call.store, call.hint, call.list, session.operation());
  OrderedJson json = to_json(call.list, call.hint.image, result.same);
  OrderedJson kept = OrderedJson::array();
  for (const size_t i : result.different) {
    kept.push_back(call.list.tensors[i].name);
    session.console.line(fmt::format("keep  {}", call.list.tensors[i].name));
  }
  for (const size_t i : result.same) session.console.line(fmt::format("drop  {}", call.list.tensors[i].name));
  session.console.note(fmt::format("{} compared in {}, {:.2f} GB/s", human_bytes(result.compared.bytes),
                                   human_seconds(result.compared.seconds), speed(result.compared) / 1e9));
  json["kept"] = std::move(kept);
  json["bytes"] = result.compared.bytes;
  json["seconds"] = result.compared.seconds;
  json["bytes_per_second"] = speed(result.compared);
  session.console.result(json);
}

void fill(Session& session, const Options& options) {
  const Call call(session, options);
  const RefillResult result = refill_weights(call.store, call.hint, call.list, session.operation());
  session.console.line(fmt::format("{} in {}, {:.2f} GB/s", human_bytes(result.bytes),
                                   human_seconds(result.seconds), speed(result) / 1e9));
  session.console.result({{"image", call.hint.image.text()},
                          {"tensors", call.list.tensors.size()},
                          {"bytes", result.bytes},
                          {"seconds", result.seconds},
                          {"bytes_per_second", speed(result)}});
}

CLI::App* add_one(CLI::App& command, const char* name, const char* what, Session& session,
                  void (*run)(Session&, const Options&)) {
  auto options = std::make_shared<Options>();
  auto* sub = command.add_subcommand(name, what);
  sub->add_option("reference", options->reference, "Image (or a snapshot of it) that has the files")
      ->type_name("IMAGE");
  sub->add_option("--list", options->list, "File with the server's tensors; - is stdin")
      ->type_name("FILE")
      ->capture_default_str();
  sub->add_option("--file", options->file, "File in the image, for tensors that name none")
      ->type_name("FILE.safetensors");
  sub->add_option("--readers", options->refill.readers, "Threads that read and verify")
      ->type_name("N")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  sub->add_option("--buffer", options->buffer_megabytes, "Size of a pinned buffer, two for each reader")
      ->type_name("MB")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  if (run == fill)
    sub->add_flag("--read-back", options->refill.read_back, "Read every byte back and compare it");
  sub->callback([&session, options, run] { run(session, *options); });
  return sub;
}

}  // namespace

void add_weights(CLI::App& app, Session& session) {
  auto* command =
      app.add_subcommand("weights", "For servers: drop weights before a snapshot, and fill them in again");
  command->footer(
      "Examples:\n"
      "  coldstart --json weights drop llm:v1 <tensors.json >dropped.json\n"
      "  coldstart weights refill <placed.json");
  command->require_subcommand(1);
  add_one(*command, "drop", "Compare device memory with the image: what may be freed", session, drop);
  add_one(*command, "refill", "Fill device memory from the image, each byte verified", session, fill);
}

}  // namespace coldstart
