// SPDX-License-Identifier: Apache-2.0
#include "core/bench/runner.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/progress_task.h"
#include "core/bench/statistics.h"

namespace coldstart {

namespace {

void drop_kernel_caches() {
  ::sync();
  try {
    const Fd fd = open_file("/proc/sys/vm/drop_caches", O_WRONLY);
    write_full(fd.get(), as_bytes("3"));
  } catch (const Error& e) {
    throw Error::missing("cannot drop the kernel's caches: " + e.message(), "run it as root");
  }
}

Run run_once(const Case& one, bool drop_caches) {
  one.set_up();
  if (drop_caches) drop_kernel_caches();
  Run run;
  try {
    run = one.run();
  } catch (...) {
    try {
      one.tear_down();
    } catch (const Error& e) {
      log::warn("{}: cleaning up after a failure: {}", one.name, e.message());
    }
    throw;
  }
  one.tear_down();
  return run;
}

Series series_of(const Case& one, std::vector<Run> runs) {
  Series series{one.name, one.baseline, {}, {}};
  for (const Run& run : runs) series.seconds.push_back(run.seconds);
  const double median = summarize(series.seconds).median;
  const auto nearest = std::min_element(runs.begin(), runs.end(), [&](const Run& a, const Run& b) {
    return std::abs(a.seconds - median) < std::abs(b.seconds - median);
  });
  series.stages = std::move(nearest->stages);
  return series;
}

}  // namespace

std::function<Run()> timed(std::function<void()> work) {
  return [work = std::move(work)] {
    const auto start = std::chrono::steady_clock::now();
    work();
    return Run{std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), {}};
  };
}

std::vector<Series> run_paired(const std::string& shown, const std::vector<Case>& cases,
                               const RunOptions& options, Operation& op) {
  std::vector<std::vector<Run>> runs(cases.size());
  const unsigned rounds = options.warmups + options.runs;
  const ProgressTask task(op.progress, shown, rounds * cases.size(), Progress::Unit::steps);
  for (unsigned round = 0; round < rounds; ++round)
    for (size_t i = 0; i < cases.size(); ++i) {
      op.cancel.check();
      const size_t index = round % 2 == 0 ? i : cases.size() - 1 - i;
      op.progress.detail(cases[index].name);
      Run run = run_once(cases[index], options.drop_caches);
      op.progress.advance(1);
      if (round >= options.warmups) runs[index].push_back(std::move(run));
    }
  std::vector<Series> all;
  for (size_t i = 0; i < cases.size(); ++i) all.push_back(series_of(cases[i], std::move(runs[i])));
  return all;
}

}  // namespace coldstart
