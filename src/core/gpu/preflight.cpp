// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/preflight.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/process_tree.h"
#include "core/checkpoint/host_facts.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr const char* ipc_since = "610";  // the first driver that checkpoints memory shared between processes

bool maps(pid_t pid, std::string_view part) {
  std::ifstream in(fmt::format("/proc/{}/maps", pid));
  for (std::string line; std::getline(in, line);)
    if (line.find(part) != std::string::npos) return true;
  return false;
}

std::string variable_of(pid_t pid, std::string_view name) {
  std::string all;
  try {
    all = read_text(fmt::format("/proc/{}/environ", pid));
  } catch (const Error&) {
    return {};  // it ended
  }
  std::string_view rest = all;
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    if (one.starts_with(name) && one.substr(name.size()).starts_with("="))
      return std::string(one.substr(name.size() + 1));
  }
  return {};
}

/// A program becomes a client of MPS by itself where its daemon's pipe is.
bool is_mps_client(pid_t pid) {
  const std::string named = variable_of(pid, "CUDA_MPS_PIPE_DIRECTORY");
  std::error_code none;
  return fs::exists(fmt::format("/proc/{}/root{}/control", pid, named.empty() ? "/tmp/nvidia-mps" : named),
                    none);
}

std::string shown(pid_t pid) {
  return fmt::format("{} (pid {})", status_field(pid, "Name"), pid);
}

}  // namespace

std::vector<pid_t> processes_with_libcuda(const std::vector<pid_t>& among) {
  std::vector<pid_t> found;
  std::copy_if(among.begin(), among.end(), std::back_inserter(found),
               [](pid_t pid) { return maps(pid, "/libcuda.so"); });
  return found;
}

uint64_t device_bytes(const GpuInventory& host, const std::vector<pid_t>& pids) {
  uint64_t sum = 0;
  for (const GpuInfo& gpu : host.gpus)
    for (const auto& [pid, bytes] : gpu.processes)
      if (bytes && std::find(pids.begin(), pids.end(), pid) != pids.end()) sum += *bytes;
  return sum;
}

void require_checkpointable(const GpuInventory& host, const std::vector<pid_t>& pids) {
  for (const GpuInfo& gpu : host.gpus)
    if (gpu.mig)
      for (const pid_t pid : pids)
        if (gpu.processes.contains(pid) || gpu.processes.empty())
          throw Error(fmt::format("{} uses {}, which is cut up by MIG: the driver cannot checkpoint that",
                                  shown(pid), to_text(gpu.uuid)),
                      "use a whole GPU ('nvidia-smi -mig 0'), or --gpu off for a server that needs none");
  for (const pid_t pid : pids)
    if (is_mps_client(pid))
      throw Error(fmt::format("{} is a client of MPS: the driver cannot checkpoint that", shown(pid)),
                  "start the server without MPS");
  if (pids.size() > 1 && compare_versions(host.driver, ipc_since) < 0)
    for (const pid_t pid : pids)
      if (maps(pid, "/dev/shm/nccl-"))
        throw Error(
            fmt::format("{} shares device memory with other processes by NCCL, which driver {} cannot "
                        "checkpoint",
                        shown(pid), host.driver),
            "let the server close its NCCL communicators first (--pre-snapshot), or use driver 610");
  if (const auto lacking = lack_of_host_memory(device_bytes(host, pids)))
    throw Error(*lacking, "let the server drop what it can first (--pre-snapshot), or free memory");
}

std::optional<std::string> lack_of_host_memory(uint64_t device_bytes) {
  const uint64_t available = available_memory();
  if (device_bytes <= available) return std::nullopt;
  return fmt::format("{} MiB of device memory go through memory of the host, where {} MiB are free",
                     device_bytes >> 20, available >> 20);
}

uint64_t resident_bytes(pid_t pid) {
  uint64_t sum = 0;
  for (const char* name : {"RssAnon", "RssShmem", "HugetlbPages", "VmSwap"})
    sum += std::strtoull(status_field(pid, name).c_str(), nullptr, 10) << 10;
  return sum;
}

}  // namespace coldstart
