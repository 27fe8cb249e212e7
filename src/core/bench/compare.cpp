// SPDX-License-Identifier: Apache-2.0
#include "core/bench/compare.h"

#include <algorithm>
#include <map>

namespace coldstart {

namespace {

using Figures = std::map<std::string, Summary>;

Figures seconds_of(const BenchReport& report) {
  Figures figures;
  for (const BenchPart& part : report.parts)
    for (const Series& s : part.series)
      if (!s.baseline) figures[part.stage + " " + s.name] = summarize(s.seconds);
  return figures;
}

Figures ratios_of(const BenchReport& report) {
  Figures figures;
  for (const BenchPart& part : report.parts)
    for (const Ratio& ratio : part.ratios()) figures[ratio.key] = ratio.of;
  return figures;
}

Change::Verdict judge(const Summary& before, const Summary& after, double threshold) {
  if (after.median > before.median * (1 + threshold) && after.interval.low > before.interval.high)
    return Change::Verdict::slower;
  if (before.median > after.median * (1 + threshold) && before.interval.low > after.interval.high)
    return Change::Verdict::faster;
  return Change::Verdict::same;
}

void compare(const Figures& before, const Figures& after, bool seconds, double threshold,
             ReportComparison& into) {
  for (const auto& [name, summary] : after) {
    const auto earlier = before.find(name);
    if (earlier == before.end())
      into.notes.push_back("not in the earlier run: " + name);
    else
      into.changes.push_back(
          {name, seconds, earlier->second, summary, judge(earlier->second, summary, threshold)});
  }
  for (const auto& [name, summary] : before)
    if (after.count(name) == 0) into.notes.push_back("only in the earlier run: " + name);
}

const char* to_text(Change::Verdict verdict) {
  return verdict == Change::Verdict::slower   ? "slower"
         : verdict == Change::Verdict::faster ? "faster"
                                              : "same";
}

}  // namespace

bool ReportComparison::regressed() const {
  return std::any_of(changes.begin(), changes.end(),
                     [](const Change& c) { return c.verdict == Change::Verdict::slower; });
}

ReportComparison compare_reports(const BenchReport& before, const BenchReport& after, double threshold) {
  ReportComparison comparison;
  if (before.environment.like(after.environment))
    compare(seconds_of(before), seconds_of(after), true, threshold, comparison);
  else
    comparison.notes.emplace_back("seconds, as the earlier run was on another machine or kernel");
  compare(ratios_of(before), ratios_of(after), false, threshold, comparison);
  if (before.parameters != after.parameters)
    comparison.notes.emplace_back("the two runs measured different things (see \"parameters\" in both)");
  return comparison;
}

OrderedJson to_json(const ReportComparison& comparison) {
  OrderedJson changes = OrderedJson::array();
  for (const Change& c : comparison.changes)
    changes.push_back({{"figure", c.figure},
                       {"unit", c.seconds ? "seconds" : "ratio"},
                       {"before", c.before.median},
                       {"after", c.after.median},
                       {"verdict", to_text(c.verdict)}});
  return {{"regressed", comparison.regressed()}, {"changes", changes}, {"notes", comparison.notes}};
}

}  // namespace coldstart
