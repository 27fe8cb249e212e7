// SPDX-License-Identifier: Apache-2.0
#include "core/bench/report.h"

#include <algorithm>
#include <cmath>

namespace coldstart {

namespace {

constexpr const char* format = "coldstart bench 1";

OrderedJson summary_json(const Summary& s) {
  return {
      {"min", s.min}, {"median", s.median},    {"mean", s.mean},          {"stddev", s.stddev},
      {"max", s.max}, {"low", s.interval.low}, {"high", s.interval.high}, {"coverage", s.interval.coverage}};
}

OrderedJson stages_json(const std::vector<StageSpan>& stages) {
  OrderedJson list = OrderedJson::array();
  for (const StageSpan& s : stages) {
    list.push_back({{"name", s.name}, {"start", s.start}, {"seconds", s.seconds}});
    if (s.bytes) list.back()["bytes"] = *s.bytes;
  }
  return list;
}

StageSpan stage_from(const Json& json, const std::string& document) {
  StageSpan stage{field<std::string>(json, "name", document),
                  field<double>(json, "start", document),
                  field<double>(json, "seconds", document),
                  {}};
  if (json.contains("bytes")) stage.bytes = field<uint64_t>(json, "bytes", document);
  return stage;
}

Series series_from(const Json& json, const std::string& document) {
  Series series;
  series.name = field<std::string>(json, "name", document);
  series.baseline = field<bool>(json, "baseline", document);
  series.seconds = field<std::vector<double>>(json, "runs", document);
  for (const Json& stage : field<Json>(json, "stages", document))
    series.stages.push_back(stage_from(stage, document));
  if (series.seconds.empty()) throw Error::corrupt(document + ": '" + series.name + "' has no runs");
  for (const double s : series.seconds)
    if (!std::isfinite(s) || s < 0) throw Error::corrupt(document + ": a run took no possible time");
  return series;
}

BenchPart& part_of(std::vector<BenchPart>& parts, const std::string& stage) {
  const auto found =
      std::find_if(parts.begin(), parts.end(), [&](const BenchPart& p) { return p.stage == stage; });
  if (found != parts.end()) return *found;
  parts.push_back({stage, {}, {}, {}});
  return parts.back();
}

}  // namespace

std::vector<Ratio> BenchPart::ratios() const {
  std::vector<Ratio> all;
  const std::string prefix = stage == "cold-start" ? "" : stage + ": ";
  for (const Series& ours : series)
    for (const Series& other : series)
      if (!ours.baseline && other.baseline && ours.seconds.size() == other.seconds.size())
        all.push_back({prefix + ours.name + "/" + other.name, ours.name, other.name,
                       paired_ratio(ours.seconds, other.seconds)});
  return all;
}

OrderedJson BenchReport::to_json() const {
  OrderedJson results = OrderedJson::array();
  OrderedJson ratios = OrderedJson::object();
  OrderedJson spread = OrderedJson::object();
  OrderedJson skipped = OrderedJson::array();
  for (const BenchPart& part : parts) {
    for (const Series& s : part.series)
      results.push_back({{"stage", part.stage},
                         {"name", s.name},
                         {"what", part.what},
                         {"baseline", s.baseline},
                         {"seconds", summary_json(summarize(s.seconds))},
                         {"outliers", has_outliers(s.seconds)},
                         {"runs", s.seconds},
                         {"stages", stages_json(s.stages)}});
    for (const Ratio& ratio : part.ratios()) {
      ratios[ratio.key] = ratio.of.median;
      spread[ratio.key] = summary_json(ratio.of);
    }
    for (const Skipped& s : part.skipped)
      skipped.push_back({{"stage", part.stage}, {"name", s.name}, {"reason", s.reason}});
  }
  OrderedJson json = {{"format", format},
                      {"created", created},
                      {"results", results},
                      {"ratios", ratios},
                      {"ratio_spread", spread},
                      {"skipped", skipped},
                      {"runs", options.runs},
                      {"warmups", options.warmups},
                      {"drop_caches", options.drop_caches},
                      {"parameters", parameters},
                      {"environment", environment.to_json()}};
  if (!answer.empty()) json["answer"] = answer;
  return json;
}

BenchReport BenchReport::from_json(std::string_view text, const std::string& document) {
  const Json json = parse_json(text, document);
  if (field<std::string>(json, "format", document) != format)
    throw Error::corrupt(document + " is no report of 'coldstart bench', or one of another version");
  BenchReport report;
  for (const Json& result : field<Json>(json, "results", document)) {
    BenchPart& part = part_of(report.parts, field<std::string>(result, "stage", document));
    part.what = field<std::string>(result, "what", document);
    part.series.push_back(series_from(result, document));
  }
  for (const Json& skipped : field<Json>(json, "skipped", document))
    part_of(report.parts, field<std::string>(skipped, "stage", document))
        .skipped.push_back(
            {field<std::string>(skipped, "name", document), field<std::string>(skipped, "reason", document)});
  report.options = {field<unsigned>(json, "runs", document), field<unsigned>(json, "warmups", document),
                    field<bool>(json, "drop_caches", document)};
  report.parameters = field<std::map<std::string, double>>(json, "parameters", document);
  report.environment =
      Environment::from_json(field<Json>(json, "environment", document), document + ": environment");
  report.created = field<int64_t>(json, "created", document);
  report.answer = json.value("answer", std::string());
  return report;
}

}  // namespace coldstart
