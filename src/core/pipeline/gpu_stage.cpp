// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/gpu_stage.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include <fmt/format.h>

#include "core/base/process_memory.h"
#include "core/base/process_tree.h"
#include "core/checkpoint/preflight.h"
#include "core/gpu/preflight.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr const char* document = "the snapshot's GPU state";

/// A mapping that grew by less holds no device memory worth a thought.
constexpr uint64_t least_copy = uint64_t{1} << 20;

uint64_t resident(const std::vector<pid_t>& pids) {
  return std::accumulate(pids.begin(), pids.end(), uint64_t{0},
                         [](uint64_t sum, pid_t pid) { return sum + resident_bytes(pid); });
}

/// What CRIU would refuse later is told before the GPU is touched. The GPU's own devices are closed by then.
void require_dumpable_host(pid_t root) {
  Preflight found = inspect_tree(root);
  std::erase_if(found.obstacles,
                [](const Obstacle& o) { return o.what.find("/dev/nvidia") != std::string::npos; });
  DumpOptions options;
  options.tcp_close = true;  // connections are for the dump itself to judge
  require_dumpable(found, options);
}

/// The mappings of each of the processes, in their order.
std::vector<std::vector<ProcessMapping>> mappings_of_all(const std::vector<pid_t>& pids) {
  std::vector<std::vector<ProcessMapping>> all;
  all.reserve(pids.size());
  for (const pid_t pid : pids) all.push_back(mappings_of(pid));
  return all;
}

GpuSnapshotFacts facts_of(const GpuInventory& host, const std::vector<pid_t>& pids) {
  GpuSnapshotFacts facts;
  facts.driver = host.driver;
  for (const pid_t pid : pids) facts.pids.push_back(inner_pid_of(pid));
  for (const GpuInfo& gpu : host.gpus) {
    GpuFacts one{gpu.uuid, gpu.name, gpu.total_bytes, 0};
    bool used = false;
    for (const pid_t pid : pids)
      if (const auto it = gpu.processes.find(pid); it != gpu.processes.end()) {
        used = true;
        one.used_bytes += it->second.value_or(0);
      }
    if (used) facts.gpus.push_back(std::move(one));
  }
  return facts;
}

GpuMap choose_well(const GpuSnapshotFacts& snapshot, const GpuInventory& host, const GpuMap& asked,
                   const std::map<GpuUuid, std::string>& ill) {
  std::vector<GpuInfo> visible = visible_gpus(host.gpus, std::getenv("CUDA_VISIBLE_DEVICES"));
  std::erase_if(visible, [&](const GpuInfo& gpu) { return ill.contains(gpu.uuid); });
  try {
    return choose_gpus(snapshot, host, visible, asked);
  } catch (const Error& e) {
    if (ill.empty()) throw;
    std::string text = e.message();
    for (const auto& [gpu, why] : ill) text += fmt::format("; {} is not well: {}", to_text(gpu), why);
    throw Error::incompatible(std::move(text), e.hint());
  }
}

}  // namespace

GpuChoice parse_gpu_choice(std::string_view word) {
  if (word == "auto") return GpuChoice::automatic;
  if (word == "on") return GpuChoice::on;
  if (word == "off") return GpuChoice::off;
  throw Error::usage(fmt::format("--gpu is auto, on or off, not '{}'", word));
}

std::optional<GpuCheckpoint> GpuCheckpoint::take(const fs::path& store_root, pid_t root, GpuChoice choice,
                                                 std::chrono::milliseconds lock_timeout, Chain& chain,
                                                 Operation& op) {
  if (choice == GpuChoice::off) return std::nullopt;
  const Error no_gpu("no process of the server uses a GPU", "leave out --gpu on");
  const std::vector<pid_t> candidates = processes_with_libcuda(process_tree(root));
  if (candidates.empty() && choice == GpuChoice::on) throw no_gpu;
  if (candidates.empty()) return std::nullopt;

  GpuController controller(store_root);
  const std::vector<pid_t> pids = controller.cuda_processes(candidates, op.cancel);
  if (pids.empty() && choice == GpuChoice::on) throw no_gpu;
  if (pids.empty()) return std::nullopt;
  GpuCheckpoint taken(std::move(controller), pids);
  chain.stage("gpu.checkpoint", [&](StageTime& time) {
    const GpuInventory host = gpu_inventory();
    require_checkpointable(host, pids);
    require_dumpable_host(root);
    taken.facts_ = facts_of(host, pids);
    const uint64_t before = resident(pids);
    const auto mapped_before = mappings_of_all(pids);
    taken.controller_.lock(pids, lock_timeout, op.cancel);
    taken.controller_.checkpoint(pids, op.cancel);
    const uint64_t after = resident(pids);
    time.bytes = taken.facts_.bytes = after > before ? after - before : 0;
    for (size_t i = 0; i < pids.size(); ++i)
      for (const AddressRange& range : grown_mappings(mapped_before[i], mappings_of(pids[i]), least_copy))
        taken.host_copies_.push_back({static_cast<uint32_t>(taken.facts_.pids[i]), range.start, range.end});
  });
  return taken;
}

void GpuCheckpoint::require_dumped(uint64_t image_bytes) const {
  if (image_bytes < facts_.bytes)
    throw Error(fmt::format("the dump lacks device memory: it has {} bytes, and {} came from the GPU alone",
                            image_bytes, facts_.bytes),
                "nothing was published; please report this");
}

void GpuCheckpoint::resume(const CancelToken& cancel) {
  controller_.restore(pids_, {}, cancel);
  controller_.unlock(pids_, cancel);
  controller_.require_running(pids_, cancel);
}

Json gpu_restore_request(const Json& facts, const std::string& asked_map, GpuPlan& plan,
                         const std::map<GpuUuid, std::string>& ill) {
  const GpuMap asked = parse_gpu_map(asked_map);
  if (facts.is_null()) {
    if (!asked.empty()) throw Error::usage("--gpu-map: the snapshot has no GPU state");
    return nullptr;
  }
  const auto snapshot = GpuSnapshotFacts::from_json(facts, document);
  GpuInventory host;
  try {
    host = gpu_inventory();
  } catch (const Error& e) {
    throw Error::incompatible("the snapshot needs a GPU: " + e.message(), e.hint());
  }
  for (GpuInfo& gpu : host.gpus)
    if (const auto planned = plan.find(gpu.uuid); planned != plan.end())
      gpu.free_bytes -= std::min(gpu.free_bytes, planned->second);
  const GpuMap map = choose_well(snapshot, host, asked, ill);
  require_free_device_memory(snapshot, host, map);
  if (const auto lacking = lack_of_host_memory(snapshot.bytes))
    throw Error::incompatible(*lacking, "stop other replicas, or use a host with more memory");
  Json request = {{"map", to_text(map)}};
  const std::vector<GpuUuid> targets = gpus_of_request(facts, request);
  for (size_t i = 0; i < targets.size(); ++i) plan[targets[i]] += snapshot.gpus[i].used_bytes;
  return request;
}

std::vector<GpuUuid> gpus_of_request(const Json& facts, const Json& request) {
  std::vector<GpuUuid> gpus;
  if (facts.is_null()) return gpus;
  const GpuMap map = parse_gpu_map(field<std::string>(request, "map", "the restore's request"));
  for (const GpuFacts& gpu : GpuSnapshotFacts::from_json(facts, document).gpus) {
    const auto moved = map.find(gpu.uuid);
    gpus.push_back(moved == map.end() ? gpu.uuid : moved->second);
  }
  return gpus;
}

std::optional<GpuRestore> GpuRestore::begin(const fs::path& store_root, const Json& facts,
                                            const Json& request) {
  if (facts.is_null()) return std::nullopt;
  auto snapshot = GpuSnapshotFacts::from_json(facts, document);
  GpuMap map = parse_gpu_map(field<std::string>(request, "map", "the restore's request"));
  return GpuRestore(store_root, std::move(snapshot), std::move(map));
}

uint64_t GpuRestore::finish(const Sandbox& sandbox, const CancelToken& cancel) {
  std::vector<pid_t> pids;
  for (const pid_t inside : facts_.pids) pids.push_back(sandbox.pid_outside(inside));
  require_free_device_memory(facts_, gpu_inventory(), map_);
  controller_.restore(pids, map_, cancel);
  controller_.unlock(pids, cancel);
  controller_.require_running(pids, cancel);
  controller_.finish();
  return facts_.bytes;
}

}  // namespace coldstart
