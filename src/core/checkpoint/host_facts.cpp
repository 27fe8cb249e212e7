// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/host_facts.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>

namespace coldstart {

namespace {

/// Programs look at these once, at start, and keep the code they chose: a restored one must find them
/// again. Flags that only the kernel cares for (mitigations, power) come and go and do not matter.
bool programs_choose_by(std::string_view flag) {
  static constexpr std::string_view prefixes[] = {"sse",  "ssse", "avx",  "amx", "bmi", "xsave",
                                                  "vaes", "vpcl", "gfni", "sha", "sm3", "sm4"};
  static constexpr std::string_view names[] = {"aes",    "pclmulqdq",  "popcnt", "fma",      "fma4", "f16c",
                                               "movbe",  "abm",        "adx",    "rdrand",   "rtm",  "hle",
                                               "rdseed", "clflushopt", "clwb",   "fsgsbase", "erms", "fsrm",
                                               "pku",    "serialize",  "cx16"};
  return std::any_of(std::begin(prefixes), std::end(prefixes), [&](auto p) { return flag.starts_with(p); }) ||
         std::find(std::begin(names), std::end(names), flag) != std::end(names);
}

std::set<std::string> features_of_this_cpu() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    std::set<std::string> result;
    for (std::string word; words >> word;)
      if (line.starts_with("Features") || programs_choose_by(word)) result.insert(word);
    return result;
  }
  return {};
}

std::vector<long> numbers(const std::string& version) {
  std::vector<long> result;
  size_t at = 0;
  while (at < version.size() && version[at] >= '0' && version[at] <= '9') {
    size_t used = 0;
    result.push_back(std::stol(version.substr(at, 9), &used));
    at += used;
    if (at >= version.size() || version[at] != '.') break;
    ++at;
  }
  return result;
}

std::string major_minor(const std::string& version) {
  const std::vector<long> n = numbers(version);
  return fmt::format("{}", fmt::join(n.begin(), n.begin() + std::min<long>(2, std::ssize(n)), "."));
}

}  // namespace

int compare_versions(const std::string& a, const std::string& b) {
  const auto order = numbers(a) <=> numbers(b);
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

HostFacts HostFacts::here(const std::string& criu_version) {
  utsname names{};
  check(::uname(&names), "cannot ask for the kernel's version");
  return {names.machine, names.release, criu_version, features_of_this_cpu()};
}

Json HostFacts::to_json() const {
  return {{"arch", arch}, {"kernel", kernel}, {"criu", criu}, {"cpu_features", cpu_features}};
}

HostFacts HostFacts::from_json(const Json& json, const std::string& document) {
  return {field<std::string>(json, "arch", document), field<std::string>(json, "kernel", document),
          field<std::string>(json, "criu", document),
          field<std::set<std::string>>(json, "cpu_features", document)};
}

void require_compatible(const HostFacts& there, const HostFacts& here) {
  std::vector<std::string> lacks;
  if (there.arch != here.arch)
    lacks.push_back(fmt::format("it is of a {} machine, this one is {}", there.arch, here.arch));
  std::vector<std::string> missing;
  std::set_difference(there.cpu_features.begin(), there.cpu_features.end(), here.cpu_features.begin(),
                      here.cpu_features.end(), std::back_inserter(missing));
  if (there.arch == here.arch && !missing.empty())
    lacks.push_back(fmt::format("this CPU lacks {}", fmt::join(missing, ", ")));
  // A newer kernel keeps its promises to user programs; an older one may lack what the processes use.
  if (compare_versions(major_minor(here.kernel), major_minor(there.kernel)) < 0)
    lacks.push_back(fmt::format("kernel {} is older than its {}", here.kernel, there.kernel));
  if (compare_versions(here.criu, there.criu) < 0)
    lacks.push_back(fmt::format("CRIU {} is older than its {}", here.criu, there.criu));
  if (!lacks.empty())
    throw Error::incompatible(fmt::format("this host does not fit the snapshot: {}", fmt::join(lacks, "; ")),
                              "take the snapshot on a host like this one, or restore it on one like its own");
}

}  // namespace coldstart
