// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "commands/commands.h"
#include "commands/replica_options.h"
#include "core/base/files.h"
#include "core/bench/cold_start.h"
#include "core/checkpoint/manifest.h"

namespace coldstart {

namespace {

struct Options {
  ColdStartOptions bench;
  ReplicaOptions place;
  std::string markdown_file, json_file;
};

void show(Console& console, const ColdStartReport& report) {
  std::vector<std::vector<std::string>> rows;
  for (const ColdStartSeries& s : report.series) {
    const Summary summary = summarize(s.seconds);
    rows.push_back({s.name, human_seconds(summary.median), human_seconds(summary.min),
                    human_seconds(summary.max), fmt::format("{:.2f}x", report.ratio(s.name, "plain"))});
    if (has_outliers(s.seconds))
      console.note(
          fmt::format("the runs of '{}' scatter: something else was at work on this machine", s.name));
  }
  console.table({"START", ">MEDIAN", ">MIN", ">MAX", ">OF PLAIN"}, rows);
  console.line(fmt::format("time to the first right answer; all answers are the same ({})",
                           report.answer.text().substr(0, 19)));
  console.line(fmt::format("coldstart takes {:.2f}x of the plain start, {:.2f}x of plain CRIU",
                           report.ratio("coldstart", "plain"), report.ratio("coldstart", "criu")));
}

void cold_start(Session& session, Options options) {
  const std::shared_ptr<Store> store = session.store();
  const Ref ref = store->resolve(RefKind::snapshot, options.bench.snapshot);
  if (options.bench.request.text.empty()) {
    const SnapshotManifest manifest = read_snapshot_manifest(*store, ref.digest);
    if (!manifest.warmups.empty())
      options.bench.request.text = manifest.warmups.back();
    else if (manifest.ready.kind == Readiness::Kind::url)
      options.bench.request.text = manifest.ready.value;
    else
      throw Error::usage("there is no request to time: the snapshot has neither a warm-up nor a ready URL",
                         "--request URL");
  }
  options.bench.net = options.place.chosen_net();
  options.bench.binds = options.place.chosen_binds();
  Replicas replicas(store->root());
  const ColdStartReport report =
      bench_cold_start(store, replicas, ref.digest, options.bench, session.operation());
  show(session.console, report);
  session.console.result(to_json(report));
  if (!options.markdown_file.empty())
    write_file_atomic(options.markdown_file, as_bytes(to_markdown(report)), 0644);
  if (!options.json_file.empty())
    write_file_atomic(options.json_file, as_bytes(to_json(report).dump(2) + "\n"), 0644);
}

}  // namespace

void add_bench(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("bench", "Time cold starts");
  command->footer(
      "Examples:\n"
      "  coldstart bench cold-start llm:warm\n"
      "  coldstart bench cold-start llm:warm -r 10 --drop-caches --export-markdown figures.md");
  command->require_subcommand(1);
  auto* cold = command->add_subcommand(
      "cold-start", "A plain start, plain CRIU and ours in turn, each to the first right answer");
  ColdStartOptions& bench = options->bench;
  cold->add_option("snapshot", bench.snapshot, "Name or digest")->required()->type_name("SNAPSHOT");
  cold->add_option("--request", bench.request.text,
                   "What is asked (default: the snapshot's last warm-up, or its ready URL)")
      ->type_name("URL|CMD");
  cold->add_option("-r,--runs", bench.runs, "Runs that count")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  cold->add_option("-w,--warmup", bench.warmups, "Runs before them")
      ->type_name("N")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  cold->add_option("--memory", bench.memory, "How our restore brings memory back")
      ->type_name("MODE")
      ->capture_default_str();
  options->place.add_surroundings(*cold);
  cold->add_flag("--drop-caches", bench.drop_caches, "Drop the kernel's caches before each run");
  cold->add_option("--export-markdown", options->markdown_file, "Write the table to a file")
      ->type_name("FILE");
  cold->add_option("--export-json", options->json_file, "Write all of it to a file")->type_name("FILE");
  cold->callback([&session, options] { cold_start(session, *options); });
}

}  // namespace coldstart
