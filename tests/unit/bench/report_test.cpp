// SPDX-License-Identifier: Apache-2.0
#include "core/bench/report.h"

#include <doctest/doctest.h>

#include "core/bench/charts.h"
#include "core/bench/compare.h"
#include "core/bench/export.h"

using namespace coldstart;

namespace {

BenchReport report_of(std::vector<double> ours, std::vector<double> theirs) {
  BenchReport report;
  BenchPart part{"image.read", "until all was read", {}, {{"erofs", "mkfs.erofs is not installed"}}};
  part.series.push_back({"coldstart", false, std::move(ours), {{"ready", 0.1, 0.2, 77}}});
  part.series.push_back({"squashfs", true, std::move(theirs), {}});
  report.parts.push_back(part);
  report.environment.cpu = "A <fast> & \"good\" one";
  report.environment.cores = 2;
  report.parameters = {{"image_bytes", 1e9}};
  return report;
}

BenchReport steady(double ours, double theirs) {
  return report_of({ours, ours * 1.01, ours * 0.99, ours, ours}, {theirs, theirs, theirs, theirs, theirs});
}

}  // namespace

TEST_CASE("a report has ratios of ours to each baseline, by rounds") {
  const std::vector<Ratio> ratios = report_of({1, 2, 3}, {2, 4, 6}).parts[0].ratios();
  REQUIRE(ratios.size() == 1);
  CHECK(ratios[0].key == "image.read: coldstart/squashfs");
  CHECK(ratios[0].of.median == 0.5);
}

TEST_CASE("a report reads back as it was written") {
  const BenchReport before = report_of({1, 2, 3}, {2, 4, 6});
  const std::string text = export_json(before);
  const BenchReport after = BenchReport::from_json(text, "it");
  CHECK(export_json(after) == text);
  CHECK(after.parts[0].series[0].stages[0].bytes == 77);
}

TEST_CASE("what is no report is refused, by name") {
  for (const char* text : {"", "[]", "{}", R"({"format":"coldstart bench 2"})", R"({"format":7})"})
    CHECK_THROWS_AS(BenchReport::from_json(text, "it"), Error);
  Json json = Json::parse(export_json(report_of({1}, {2})));
  for (const Json& runs : {Json::array(), Json{-1}, Json{"x"}, Json(3)}) {
    json["results"][0]["runs"] = runs;
    CHECK_THROWS_AS(BenchReport::from_json(json.dump(), "it"), Error);
  }
}

TEST_CASE("slower is what is larger by the threshold, with intervals apart") {
  const auto verdicts = [](const BenchReport& before, const BenchReport& after) {
    return compare_reports(before, after, 0.05).regressed();
  };
  CHECK(verdicts(steady(1, 2), steady(1.2, 2)));
  CHECK_FALSE(verdicts(steady(1, 2), steady(1.03, 2)));                                         // too little
  CHECK_FALSE(verdicts(steady(1.2, 2), steady(1, 2)));                                          // faster
  CHECK_FALSE(verdicts(report_of({1, 2, 1}, {2, 2, 2}), report_of({1.6, 1.5, 2}, {2, 2, 2})));  // noise
}

TEST_CASE("on another machine only ratios are compared") {
  BenchReport other = steady(2, 4);
  other.environment.cpu = "another";
  const ReportComparison slower_machine = compare_reports(steady(1, 2), other, 0.05);
  CHECK_FALSE(slower_machine.regressed());
  CHECK(slower_machine.changes.size() == 1);
  BenchReport worse = steady(3, 4);
  worse.environment.cpu = "another";
  CHECK(compare_reports(steady(1, 2), worse, 0.05).regressed());
}

TEST_CASE("every format names what was measured, the machine and what was skipped") {
  for (const Exporter& exporter : exporters()) {
    CAPTURE(exporter.format);
    const std::string text = exporter.render(report_of({1, 2, 3}, {2, 4, 6}));
    for (const char* part : {"image.read", "coldstart", "squashfs", "mkfs.erofs is not installed", "good"})
      CHECK_MESSAGE(text.find(part) != std::string::npos, part);
  }
}

TEST_CASE("pictures escape what they show") {
  const std::string svg = bench_picture(report_of({1}, {2}));
  CHECK(svg.find("A &lt;fast&gt; &amp; ") != std::string::npos);
  CHECK(svg.find("<script") == std::string::npos);
  CHECK(svg.find("prefers-color-scheme: dark") != std::string::npos);
}

TEST_CASE("a scaling plot needs reports that differ, of one machine") {
  BenchReport small = steady(1, 2);
  BenchReport large = steady(2, 4);
  CHECK_THROWS_AS(scaling_picture({small, large}, ScaleBy::automatic), Error);
  large.parameters["image_bytes"] = 2e9;
  CHECK(scaling_picture({large, small}, ScaleBy::automatic).find("size of the image") != std::string::npos);
  CHECK_THROWS_AS(scaling_picture({small, large}, ScaleBy::memory), Error);
  large.environment.cpu = "another";
  CHECK_THROWS_AS(scaling_picture({small, large}, ScaleBy::automatic), Error);
}

TEST_CASE("an axis ends at a round number, with few round ticks") {
  for (const double most : {1e-6, 0.0123, 0.5, 1.0, 4.87, 5.0, 60.0, 1.23e9}) {
    const Axis axis(most);
    CAPTURE(most);
    CHECK(axis.end >= most * (1 - 1e-9));
    CHECK(axis.end <= most * 1.5);
    CHECK(axis.ticks.size() >= 4);
    CHECK(axis.ticks.size() <= 8);
  }
  CHECK(shown_tick(0.2, Axis(0.9)) == "200 ms");
  CHECK(shown_tick(2, Axis(5)) == "2 s");
  CHECK(shown_amount(1.5e9, true) == "1.5 GB");
}
