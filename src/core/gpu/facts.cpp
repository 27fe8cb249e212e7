// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/facts.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/checkpoint/host_facts.h"

namespace coldstart {

namespace {

constexpr const char* moves_since = "580";

const GpuInfo* find_gpu(const std::vector<GpuInfo>& gpus, const GpuUuid& uuid) {
  const auto it = std::find_if(gpus.begin(), gpus.end(), [&](const GpuInfo& g) { return g.uuid == uuid; });
  return it == gpus.end() ? nullptr : &*it;
}

/// Throws unless `to` can take the place of `from`.
void require_fit(const GpuFacts& from, const GpuInfo& to) {
  if (to.name != from.name)
    throw Error::incompatible(
        fmt::format("the snapshot is of a {}, and {} is a {}", from.name, to_text(to.uuid), to.name),
        "restore it on a GPU of the same kind");
  if (to.total_bytes < from.used_bytes)
    throw Error::incompatible(fmt::format("the snapshot has {} MiB on its {}, and {} has {} MiB in all",
                                          from.used_bytes >> 20, from.name, to_text(to.uuid),
                                          to.total_bytes >> 20));
  if (to.mig)
    throw Error::incompatible(fmt::format("{} is cut up by MIG", to_text(to.uuid)),
                              "GPU state can only be restored to a whole GPU");
}

/// The best that is not taken.
const GpuInfo* candidate_for(const GpuFacts& from, const std::vector<GpuInfo>& gpus, const GpuMap& taken) {
  const GpuInfo* best = nullptr;
  for (const GpuInfo& gpu : gpus) {
    const bool used =
        std::any_of(taken.begin(), taken.end(), [&](const auto& pair) { return pair.second == gpu.uuid; });
    if (used || gpu.mig || gpu.name != from.name || gpu.total_bytes < from.used_bytes) continue;
    if (best == nullptr || gpu.free_bytes > best->free_bytes) best = &gpu;
  }
  return best;
}

GpuMap as_asked(const GpuSnapshotFacts& facts, const GpuInventory& host, const GpuMap& asked) {
  for (const auto& [from, to] : asked) {
    const bool known = std::any_of(facts.gpus.begin(), facts.gpus.end(),
                                   [&uuid = from](const GpuFacts& g) { return g.uuid == uuid; });
    if (!known) throw Error::usage(fmt::format("the snapshot has nothing on {}", to_text(from)));
  }
  GpuMap map = asked;
  for (const GpuFacts& gpu : facts.gpus) {
    map.try_emplace(gpu.uuid, gpu.uuid);  // the driver wants all of them named
    const GpuInfo* there = find_gpu(host.gpus, map[gpu.uuid]);
    if (there == nullptr)
      throw Error::incompatible(fmt::format("this host has no {}", to_text(map[gpu.uuid])),
                                "'nvidia-smi -L' shows what it has");
    require_fit(gpu, *there);
  }
  return map;
}

}  // namespace

Json GpuSnapshotFacts::to_json() const {
  Json list = Json::array();
  for (const GpuFacts& gpu : gpus)
    list.push_back({{"uuid", to_text(gpu.uuid)},
                    {"name", gpu.name},
                    {"total_bytes", gpu.total_bytes},
                    {"used_bytes", gpu.used_bytes}});
  return {{"driver", driver}, {"gpus", std::move(list)}, {"pids", pids}, {"bytes", bytes}};
}

GpuSnapshotFacts GpuSnapshotFacts::from_json(const Json& json, const std::string& document) {
  GpuSnapshotFacts facts;
  facts.driver = field<std::string>(json, "driver", document);
  facts.pids = field<std::vector<pid_t>>(json, "pids", document);
  facts.bytes = field<uint64_t>(json, "bytes", document);
  for (const Json& one : field<std::vector<Json>>(json, "gpus", document)) {
    const auto uuid = parse_gpu_uuid(field<std::string>(one, "uuid", document));
    if (!uuid) throw Error::corrupt(document + ": a GPU's UUID is none");
    facts.gpus.push_back({*uuid, field<std::string>(one, "name", document),
                          field<uint64_t>(one, "total_bytes", document),
                          field<uint64_t>(one, "used_bytes", document)});
  }
  const bool pids_right =
      !facts.pids.empty() && std::all_of(facts.pids.begin(), facts.pids.end(), [](pid_t p) { return p > 1; });
  if (!pids_right) throw Error::corrupt(document + ": the GPU's processes are out of range");
  return facts;
}

std::vector<GpuInfo> visible_gpus(const std::vector<GpuInfo>& all, const char* visible_devices) {
  if (visible_devices == nullptr) return all;
  std::vector<GpuInfo> visible;
  std::string_view rest = visible_devices;
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    const auto named = [&](const GpuInfo& gpu) {
      unsigned index = 0;
      const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), index);
      if (error == std::errc() && end == one.data() + one.size()) return gpu.index == index;
      return one.starts_with("GPU-") && to_text(gpu.uuid).starts_with(one);
    };
    const auto it = std::find_if(all.begin(), all.end(), named);
    if (it == all.end()) break;  // as CUDA: what follows something invalid is not visible
    visible.push_back(*it);
  }
  return visible;
}

GpuMap choose_gpus(const GpuSnapshotFacts& facts, const GpuInventory& host,
                   const std::vector<GpuInfo>& visible, const GpuMap& asked) {
  if (compare_versions(host.driver, facts.driver) < 0)
    throw Error::incompatible(
        fmt::format("driver {} is older than the snapshot's {}", host.driver, facts.driver),
        "update the NVIDIA driver, or take the snapshot with this one");
  GpuMap map;
  if (!asked.empty()) {
    map = as_asked(facts, host, asked);
  } else {
    const bool can_move = compare_versions(host.driver, moves_since) >= 0;
    for (const GpuFacts& gpu : facts.gpus)  // first those that can stay, so that no other takes their place
      if (const GpuInfo* same = find_gpu(visible, gpu.uuid)) {
        require_fit(gpu, *same);
        if (same->free_bytes >= gpu.used_bytes || !can_move) map[gpu.uuid] = gpu.uuid;
      }
    for (const GpuFacts& gpu : facts.gpus) {
      if (map.contains(gpu.uuid)) continue;
      const GpuInfo* other = candidate_for(gpu, visible, map);
      // Its own is full. Unless another has room, that is what is told.
      const bool is_there = find_gpu(visible, gpu.uuid) != nullptr;
      if (is_there && (other == nullptr || other->free_bytes < gpu.used_bytes)) {
        map[gpu.uuid] = gpu.uuid;
        continue;
      }
      if (other == nullptr)
        throw Error::incompatible(
            fmt::format("the snapshot needs a {} with {} MiB, and there is none free to use here", gpu.name,
                        gpu.used_bytes >> 20),
            "'nvidia-smi -L' shows the GPUs; --gpu-map says which to use, CUDA_VISIBLE_DEVICES which may be");
      map[gpu.uuid] = other->uuid;
    }
  }
  const bool moved =
      std::any_of(map.begin(), map.end(), [](const auto& pair) { return pair.first != pair.second; });
  if (!moved) return {};
  if (compare_versions(host.driver, moves_since) < 0)
    throw Error::incompatible(
        fmt::format("the snapshot is of other GPUs, and driver {} can only restore to the same", host.driver),
        "use driver 580 or newer");
  return map;
}

void require_free_device_memory(const GpuSnapshotFacts& facts, const GpuInventory& host, const GpuMap& map) {
  for (const GpuFacts& gpu : facts.gpus) {
    const auto moved = map.find(gpu.uuid);
    const GpuUuid& target = moved == map.end() ? gpu.uuid : moved->second;
    const GpuInfo* there = find_gpu(host.gpus, target);
    if (there == nullptr) throw Error::incompatible(fmt::format("this host has no {}", to_text(target)));
    if (there->free_bytes >= gpu.used_bytes) continue;
    std::string users;
    for (const auto& [pid, bytes] : there->processes)
      users += fmt::format("{}process {}{}", users.empty() ? "" : ", ", pid,
                           bytes ? fmt::format(" ({} MiB)", *bytes >> 20) : "");
    throw Error::incompatible(fmt::format("the snapshot needs {} MiB of memory on {}, and {} MiB are free",
                                          gpu.used_bytes >> 20, to_text(target), there->free_bytes >> 20),
                              users.empty() ? "use another GPU: --gpu-map" : "it is used by " + users);
  }
}

}  // namespace coldstart
