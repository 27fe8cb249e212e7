// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "commands/bench_commands.h"
#include "commands/commands.h"
#include "core/base/files.h"
#include "core/bench/charts.h"

namespace coldstart {

namespace {

struct PlotArguments {
  std::vector<std::string> files;
  std::string output;
  std::string by = "auto";
};

void plot(Session& session, const PlotArguments& arguments) {
  std::vector<BenchReport> reports;
  for (const std::string& file : arguments.files) reports.push_back(read_bench_report(file));
  // One report is a picture of itself, several are a curve.
  const std::string svg =
      reports.size() == 1 ? bench_picture(reports.front()) : scaling_picture(reports, scale_by(arguments.by));
  write_file_atomic(arguments.output, as_bytes(svg), 0644);
  session.console.line(fmt::format("{} is drawn", arguments.output));
  session.console.result({{"file", arguments.output}, {"reports", reports.size()}});
}

}  // namespace

BenchReport read_bench_report(const std::string& file) {
  return BenchReport::from_json(read_text(file), file);
}

void add_bench_plot(CLI::App& bench, Session& session) {
  const auto arguments = std::make_shared<PlotArguments>();
  auto* command =
      bench.add_subcommand("plot", "A picture of one report, or of start times against size from several");
  command->footer(
      "Examples:\n"
      "  coldstart bench plot 1g.json 2g.json 4g.json -o scaling.svg\n"
      "  coldstart bench plot n1.json n2.json n4.json --by replicas -o replicas.svg");
  command->add_option("reports", arguments->files, "What --export-json wrote")->required()->type_name("FILE");
  command->add_option("-o,--output", arguments->output, "The picture (SVG)")->required()->type_name("FILE");
  command->add_option("--by", arguments->by, "What to plot against; auto is what differs")
      ->type_name("auto|memory|replicas|image")
      ->capture_default_str();
  command->callback([&session, arguments] { plot(session, *arguments); });
}

}  // namespace coldstart
