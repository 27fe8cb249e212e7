// SPDX-License-Identifier: Apache-2.0
#include <ctime>

#include <fmt/format.h>
#include <unistd.h>

#include "commands/bench_commands.h"
#include "commands/commands.h"
#include "commands/replica_options.h"
#include "core/base/files.h"
#include "core/bench/compare.h"
#include "core/bench/export.h"
#include "core/bench/stages.h"
#include "core/checkpoint/manifest.h"

namespace coldstart {

namespace {

/// What every bench takes: how often, and what becomes of the figures.
struct ReportOptions {
  RunOptions runs;
  std::map<std::string, std::string> files;  // by format
  std::string baseline;
  double threshold = 5;  // per cent

  void add(CLI::App& command) {
    command.add_option("-r,--runs", runs.runs, "Rounds that count")
        ->type_name("N")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    command.add_option("-w,--warmup", runs.warmups, "Rounds before them")
        ->type_name("N")
        ->check(CLI::Range(0, 100))
        ->capture_default_str();
    command.add_flag("--drop-caches", runs.drop_caches, "Drop the kernel's caches before each run");
    for (const Exporter& exporter : exporters())
      command.add_option(std::string("--export-") + exporter.format, files[exporter.format], exporter.what)
          ->type_name("FILE");
    command
        .add_option("--baseline", baseline,
                    "Compare with an earlier --export-json; exit status 1 if something got slower")
        ->type_name("FILE");
    command.add_option("--threshold", threshold, "What counts as slower, in per cent")
        ->type_name("PERCENT")
        ->check(CLI::Range(0.0, 1000.0))
        ->capture_default_str();
  }
};

struct ColdStartArguments {
  SnapshotStart start;
  ReplicaOptions place;
  ReportOptions report;
};

struct StageArguments {
  std::vector<std::string> stages;
  BenchInput input;
  std::string snapshot;
  SnapshotStart start;
  ReplicaOptions place;
  ReportOptions report;
  bool list = false;
};

void show_part(Console& console, const BenchPart& part) {
  console.line(fmt::format("{}: {}", part.stage, part.what));
  std::vector<std::vector<std::string>> rows;
  for (const Series& s : part.series) {
    const Summary of = summarize(s.seconds);
    rows.push_back({s.name, shown_seconds(of.median),
                    fmt::format("{} … {}", shown_seconds(of.interval.low), shown_seconds(of.interval.high)),
                    shown_seconds(of.min), shown_seconds(of.max)});
  }
  console.table({"CASE", ">MEDIAN", ">INTERVAL", ">MIN", ">MAX"}, rows);
  for (const Ratio& r : part.ratios())
    console.line(fmt::format("{} takes {:.2f}x of {} ({:.2f} … {:.2f})", r.name, r.of.median, r.baseline,
                             r.of.interval.low, r.of.interval.high));
  for (const Skipped& s : part.skipped) console.note(fmt::format("skipped: {}: {}", s.name, s.reason));
  for (const Series& s : part.series)
    if (has_outliers(s.seconds))
      console.note(
          fmt::format("the runs of '{}' scatter: something else was at work on this machine", s.name));
}

void show_comparison(Console& console, const ReportComparison& comparison) {
  for (const Change& c : comparison.changes) {
    if (c.verdict == Change::Verdict::same) continue;
    const auto shown = [&](double value) {
      return c.seconds ? shown_seconds(value) : fmt::format("{:.2f}x", value);
    };
    console.line(fmt::format("{}: {} ({:+.0f} %): {} before, {} now",
                             c.verdict == Change::Verdict::slower ? "SLOWER" : "faster", c.figure,
                             (c.after.median / c.before.median - 1) * 100, shown(c.before.median),
                             shown(c.after.median)));
  }
  for (const std::string& note : comparison.notes) console.note("not compared: " + note);
  if (!comparison.regressed()) console.line("nothing got slower than before, beyond the noise");
}

/// Shows, writes and compares.
void deliver(Session& session, BenchReport report, const ReportOptions& options) {
  report.options = options.runs;
  report.environment = Environment::here();
  report.created = std::time(nullptr);
  for (const BenchPart& part : report.parts) show_part(session.console, part);
  if (!report.answer.empty())
    session.console.line(fmt::format("all answers were the same ({})", report.answer.substr(0, 19)));
  OrderedJson json = report.to_json();
  // Read before anything is written: both may be the same file.
  std::optional<ReportComparison> comparison;
  if (!options.baseline.empty()) {
    comparison = compare_reports(read_bench_report(options.baseline), report, options.threshold / 100);
    show_comparison(session.console, *comparison);
    json["comparison"] = to_json(*comparison);
    if (comparison->regressed()) session.exit_status = static_cast<int>(Exit::failed);
  }
  for (const Exporter& exporter : exporters())
    if (const std::string& file = options.files.at(exporter.format); !file.empty())
      write_file_atomic(file, as_bytes(exporter.render(report)), 0644);
  session.console.result(json);
}

/// Finds out at once, not after an hour of measuring.
void check_files(const ReportOptions& options) {
  if (!options.baseline.empty()) read_bench_report(options.baseline);
  for (const auto& [format, file] : options.files) {
    if (file.empty()) continue;
    const std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
    if (::access(folder.c_str(), W_OK) != 0)
      throw Error::sys(fmt::format("--export-{}: cannot write in {}", format, folder.string()));
  }
}

/// Resolves the snapshot and what is asked of it.
void complete(SnapshotStart& start, const ReplicaOptions& place, Store& store) {
  const Ref ref = store.resolve(RefKind::snapshot, start.snapshot);
  start.digest = ref.digest;
  const SnapshotManifest manifest = read_snapshot_manifest(store, ref.digest);
  if (start.request.text.empty() && !manifest.warmups.empty())
    start.request.text = manifest.warmups.back();
  else if (start.request.text.empty() && manifest.ready.kind == Readiness::Kind::url)
    start.request.text = manifest.ready.value;
  start.net = place.chosen_net();
  start.binds = place.chosen_binds();
}

void cold_start(Session& session, ColdStartArguments arguments) {
  check_files(arguments.report);
  const std::shared_ptr<Store> store = session.store();
  SnapshotStart& start = arguments.start;
  complete(start, arguments.place, *store);
  if (start.request.text.empty())
    throw Error::usage("there is no request to time: the snapshot has neither a warm-up nor a ready URL",
                       "--request URL");
  if (start.replicas > 1 && start.net.value_or(read_snapshot_manifest(*store, start.digest).net) == Net::host)
    throw Error::usage("several replicas cannot share the host's network: all want the same port",
                       "--net private");
  Replicas replicas(store->root());
  const SnapshotCases cases(store, replicas, start, session.operation());
  BenchReport report;
  report.parts = bench_cold_start(cases, start, arguments.report.runs, session.operation());
  report.answer = cases.answer();
  report.parameters = cases.parameters();
  deliver(session, std::move(report), arguments.report);
}

void list_stages(Session& session) {
  constexpr const char* needs[] = {"", "a tree", "a snapshot", "a GPU snapshot"};
  std::vector<std::vector<std::string>> rows;
  OrderedJson all = OrderedJson::array();
  for (const StageBench& s : stage_benches()) {
    const char* needed = needs[static_cast<size_t>(s.needs)];
    rows.push_back({s.name, needed, s.baselines, s.what});
    all.push_back({{"name", s.name},
                   {"needs", needed},
                   {"baselines", s.baselines},
                   {"what", s.what},
                   {"root", s.as_root}});
  }
  session.console.table({"STAGE", "NEEDS", "AGAINST", "SECONDS"}, rows);
  session.console.result(all);
}

void stages(Session& session, StageArguments arguments) {
  if (arguments.list) return list_stages(session);
  if (arguments.stages.empty())
    throw Error::usage("which stage?", "coldstart bench STAGE…, of those that coldstart bench --list names");
  std::vector<const StageBench*> chosen;
  for (const std::string& name : arguments.stages) chosen.push_back(&stage_bench(name));
  check_files(arguments.report);
  const std::shared_ptr<Store> store = session.store();
  if (!arguments.snapshot.empty()) {
    arguments.start.snapshot = arguments.snapshot;
    complete(arguments.start, arguments.place, *store);
    arguments.input.snapshot = arguments.start;
  }
  for (const StageBench* stage : chosen)
    if (stage->needs >= StageBench::Needs::snapshot && !arguments.input.snapshot)
      throw Error::usage(fmt::format("the stage {} needs a snapshot", stage->name), "--snapshot NAME");
  // So that no mount of ours is left, whatever ends us.
  if (::geteuid() == 0) own_mount_namespace();
  Replicas replicas(store->root());
  BenchReport report;
  Fixtures fixtures(store, replicas, arguments.input, session.operation());
  for (const StageBench* stage : chosen) require_measurable(*stage, fixtures);
  for (const StageBench* stage : chosen)
    for (BenchPart& part : run_stage(*stage, fixtures, arguments.report.runs, session.operation()))
      report.parts.push_back(std::move(part));
  report.parameters = fixtures.parameters();
  deliver(session, std::move(report), arguments.report);
}

void add_request(CLI::App& command, SnapshotStart& start) {
  command
      .add_option("--request", start.request.text,
                  "What is asked (default: the snapshot's last warm-up, or its ready URL)")
      ->type_name("URL|CMD");
  command.add_option("--memory", start.memory, "How our restore brings memory back")
      ->type_name("MODE")
      ->capture_default_str();
}

void add_cold_start(CLI::App& bench, Session& session) {
  auto arguments = std::make_shared<ColdStartArguments>();
  auto* command = bench.add_subcommand(
      "cold-start", "A plain start, plain CRIU and ours in turn, each to the first right answer");
  command->add_option("snapshot", arguments->start.snapshot, "Name or digest")
      ->required()
      ->type_name("SNAPSHOT");
  add_request(*command, arguments->start);
  command->add_option("-n,--replicas", arguments->start.replicas, "Started at once; the last answer counts")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  arguments->place.add_surroundings(*command);
  arguments->report.add(*command);
  command->callback([&session, arguments] { cold_start(session, *arguments); });
}

}  // namespace

void add_bench(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<StageArguments>();
  auto* command = app.add_subcommand("bench", "Time cold starts, and each of their stages alone");
  command->footer(
      "Examples:\n"
      "  coldstart bench cold-start llm:warm --export-svg waterfall.svg\n"
      "  coldstart bench image.mount image.read --image llm:v1 --drop-caches\n"
      "  coldstart bench criu.restore memory --snapshot llm:warm --export-json today.json\n"
      "  coldstart bench image.read --baseline today.json");
  command->add_option("stages", arguments->stages, "What to time; --list names them")
      ->type_name("STAGE")
      ->expected(0, -1);
  command->add_flag("--list", arguments->list, "Name the stages, and what each is compared with");
  auto* image = command->add_option("--image", arguments->input.image, "The image that image.* work on")
                    ->type_name("REF");
  command
      ->add_option("--tree", arguments->input.tree,
                   "The folder that image.* work on (default: a made-up tree)")
      ->type_name("DIR")
      ->check(CLI::ExistingDirectory)
      ->excludes(image);
  command->add_option("--size", arguments->input.made_up_bytes, "Of the made-up tree (default 64M)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("BYTES");
  command
      ->add_option("--snapshot", arguments->snapshot,
                   "What criu.*, memory, gpu.restore and pool.claim work on")
      ->type_name("SNAPSHOT");
  add_request(*command, arguments->start);
  arguments->place.add_surroundings(*command);
  arguments->report.add(*command);
  add_cold_start(*command, session);
  add_bench_plot(*command, session);
  command->require_subcommand(0, 1);
  command->callback([&session, arguments, command] {
    if (command->get_subcommands().empty()) stages(session, *arguments);
  });
}

}  // namespace coldstart
