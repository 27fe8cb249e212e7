// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/gpu_watch.h"

#include <ctime>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/subprocess.h"
#include "core/gpu/health.h"

namespace coldstart {

namespace {

constexpr auto tried_every = std::chrono::minutes(10);
constexpr auto patience = std::chrono::seconds(10);  // with GPUs that have to be initialised first

double seconds_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::map<GpuUuid, std::string> ask(bool try_them, double since) {
  std::vector<std::string> argv = {"/proc/self/exe", "--json", "gpu-health", "--xids-since",
                                   std::to_string(since)};
  if (!try_them) argv.emplace_back("--told");
  const Output said = run_program(argv, patience);
  if (!said.exit.ok())
    throw Error(fmt::format("the GPUs' health cannot be told ({}): {}", said.exit.text(), said.err));
  std::map<GpuUuid, std::string> ill;
  for (const auto& [uuid, problems] : gpu_problems_from(parse_json(said.out, "what the GPUs' health is")))
    if (!problems.empty()) ill.emplace(uuid, fmt::format("{}", fmt::join(problems, "; ")));
  return ill;
}

}  // namespace

GpuWatch::GpuWatch(std::chrono::milliseconds freshness)
    : freshness_(freshness), begun_(seconds_since_boot()) {}

std::map<GpuUuid, std::string> GpuWatch::ill() {
  const std::lock_guard asking(asking_);
  const auto now = Clock::now();
  const bool try_them = tried_ == Clock::time_point() || now - tried_ >= tried_every;
  if (try_them || now - asked_ >= freshness_) {
    const std::map<GpuUuid, std::string> told = ask(try_them, begun_);
    asked_ = Clock::now();
    if (try_them) tried_ = asked_;
    const std::lock_guard lock(mutex_);
    told_ = told;
    if (try_them) found_ = told;
  }
  return known_ill();
}

/// One that worked wrongly is not well because it says so.
std::map<GpuUuid, std::string> GpuWatch::known_ill() const {
  const std::lock_guard lock(mutex_);
  std::map<GpuUuid, std::string> all = told_;
  all.insert(found_.begin(), found_.end());
  return all;
}

void require_well(const std::vector<GpuUuid>& gpus, const std::map<GpuUuid, std::string>& ill) {
  for (const GpuUuid& gpu : gpus)
    if (const auto it = ill.find(gpu); it != ill.end())
      throw Error(fmt::format("{} is not well: {}", to_text(gpu), it->second),
                  "see the kernel's log and 'nvidia-smi -q'");
}

}  // namespace coldstart
