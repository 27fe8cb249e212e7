// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/nvml.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <type_traits>

#include <fmt/format.h>
#include <sys/klog.h>

#include "core/base/error.h"
#include "core/base/late_library.h"

namespace coldstart {

namespace {

using Device = void*;
constexpr int success = 0;
constexpr int insufficient_size = 7;

struct Memory {
  unsigned long long total, free, used;
};
struct PciInfo {
  std::array<char, 16> old_text;
  unsigned domain, bus, device, device_id, subsystem_id;
  std::array<char, 32> text;
};
struct ProcessInfo {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
constexpr unsigned long long not_available = ~0ULL;

/// The library between its init and its shutdown.
class Nvml {
 public:
  Nvml() : file_(library_file()), library_(file_.c_str(), "of the NVIDIA driver (libnvidia-ml1 on Debian)") {
    require(call<int()>("nvmlInit_v2"), "initialise");
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml() {
    if (int (*shutdown)() = find<int()>("nvmlShutdown")) shutdown();
  }

  /// A function that every version has.
  template <class F, class... A>
  std::invoke_result_t<F*, A...> call(const char* name, A... arguments) {
    return reinterpret_cast<F*>(library_.find(name))(arguments...);
  }
  /// A function that older libraries lack: then null.
  template <class F>
  F* find(const char* name) {
    try {
      return reinterpret_cast<F*>(library_.find(name));
    } catch (const Error&) {
      return nullptr;
    }
  }
  /// True if there is the function and it succeeded.
  template <class F, class... A>
  bool tell(const char* name, A... arguments) {
    F* function = find<F>(name);
    return function != nullptr && function(arguments...) == success;
  }
  void require(int result, const char* doing) {
    if (result == success) return;
    const char* (*text)(int) = find<const char*(int)>("nvmlErrorString");
    throw Error(
        fmt::format("NVML cannot {}: {} ({})", doing, text != nullptr ? text(result) : "error", result),
        "see whether 'nvidia-smi' works");
  }

 private:
  static std::string library_file() {
    const char* named = std::getenv("COLDSTART_LIBNVML");
    return named != nullptr && *named != '\0' ? named : "libnvidia-ml.so.1";
  }
  const std::string file_;
  LateLibrary library_;
};

std::map<pid_t, std::optional<uint64_t>> processes_of(Nvml& nvml, Device device) {
  using Function = int(Device, unsigned*, ProcessInfo*);
  Function* ask = nvml.find<Function>("nvmlDeviceGetComputeRunningProcesses_v3");
  std::map<pid_t, std::optional<uint64_t>> result;
  if (ask == nullptr) return result;
  std::vector<ProcessInfo> infos(64);
  auto count = static_cast<unsigned>(infos.size());
  int answer = ask(device, &count, infos.data());
  for (int tries = 0; answer == insufficient_size && tries < 5; ++tries) {
    infos.resize(size_t{count} + 64);
    count = static_cast<unsigned>(infos.size());
    answer = ask(device, &count, infos.data());
  }
  if (answer != success) return result;
  for (unsigned i = 0; i < count; ++i)
    result[static_cast<pid_t>(infos[i].pid)] =
        infos[i].used == not_available ? std::nullopt : std::optional<uint64_t>(infos[i].used);
  return result;
}

GpuInfo info_of(Nvml& nvml, unsigned index) {
  Device device = nullptr;
  nvml.require(nvml.call<int(unsigned, Device*)>("nvmlDeviceGetHandleByIndex_v2", index, &device),
               "open a GPU");
  GpuInfo info;
  info.index = index;
  std::array<char, 96> text{};
  using Text = int(Device, char*, unsigned);
  constexpr auto room = static_cast<unsigned>(text.size());
  nvml.require(nvml.call<Text>("nvmlDeviceGetUUID", device, text.data(), room), "tell a GPU's UUID");
  const auto uuid = parse_gpu_uuid(text.data());
  if (!uuid) throw Error(fmt::format("NVML names a GPU '{}', which is no UUID", text.data()));
  info.uuid = *uuid;
  if (nvml.tell<Text>("nvmlDeviceGetName", device, text.data(), room)) info.name = text.data();
  PciInfo pci{};
  if (nvml.tell<int(Device, PciInfo*)>("nvmlDeviceGetPciInfo_v3", device, &pci))
    info.pci = fmt::format("{:04x}:{:02x}:{:02x}", pci.domain, pci.bus, pci.device);
  Memory memory{};
  if (nvml.tell<int(Device, Memory*)>("nvmlDeviceGetMemoryInfo", device, &memory)) {
    info.total_bytes = memory.total;
    info.free_bytes = memory.free;
  }
  unsigned current = 0, pending = 0;
  if (nvml.tell<int(Device, unsigned*, unsigned*)>("nvmlDeviceGetMigMode", device, &current, &pending))
    info.mig = current != 0;
  constexpr int uncorrected = 1, since_load = 0;
  unsigned long long number = 0;
  if (nvml.tell<int(Device, int, int, unsigned long long*)>("nvmlDeviceGetTotalEccErrors", device,
                                                            uncorrected, since_load, &number))
    info.uncorrected_ecc = number;
  unsigned degrees = 0;
  if (nvml.tell<int(Device, int, unsigned*)>("nvmlDeviceGetTemperature", device, 0, &degrees))
    info.temperature = degrees;
  if (nvml.tell<int(Device, unsigned long long*)>("nvmlDeviceGetCurrentClocksThrottleReasons", device,
                                                  &number))
    info.throttle_reasons = number;
  int persistent = 0;
  if (nvml.tell<int(Device, int*)>("nvmlDeviceGetPersistenceMode", device, &persistent))
    info.persistent = persistent != 0;
  info.processes = processes_of(nvml, device);
  return info;
}

/// Of what stands before a message: "<3>[ 4242.5] ".
double seconds_in(std::string_view before) {
  const size_t open = before.find('[');
  return open == std::string_view::npos ? 0
                                        : std::strtod(std::string(before.substr(open + 1)).c_str(), nullptr);
}

}  // namespace

GpuInventory gpu_inventory() {
  Nvml nvml;
  GpuInventory inventory;
  std::array<char, 96> text{};
  nvml.require(nvml.call<int(char*, unsigned)>("nvmlSystemGetDriverVersion", text.data(),
                                               static_cast<unsigned>(text.size())),
               "tell the driver's version");
  inventory.driver = text.data();
  unsigned count = 0;
  nvml.require(nvml.call<int(unsigned*)>("nvmlDeviceGetCount_v2", &count), "count the GPUs");
  for (unsigned i = 0; i < count; ++i) inventory.gpus.push_back(info_of(nvml, i));
  return inventory;
}

/// "<3>[ 4242.5] NVRM: Xid (PCI:0000:65:00): 79, pid=…"
std::vector<Xid> xids_in(std::string_view log) {
  constexpr std::string_view mark = "NVRM: Xid (PCI:";
  std::vector<Xid> found;
  for (size_t at = log.find(mark); at != std::string_view::npos; at = log.find(mark, at + 1)) {
    std::string_view rest = log.substr(at + mark.size());
    rest = rest.substr(0, rest.find('\n'));
    const size_t close = rest.find("): ");
    if (close == std::string_view::npos) continue;
    const size_t line = log.rfind('\n', at) + 1;  // 0 in the first
    Xid xid{std::string(rest.substr(0, close)), 0, seconds_in(log.substr(line, at - line))};
    const std::string_view number = rest.substr(close + 3);
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), xid.number);
    if (parsed.ec == std::errc()) found.push_back(std::move(xid));
  }
  return found;
}

std::vector<Xid> logged_xids() {
  constexpr int read_all = 3, size_of_buffer = 10;
  const int size = ::klogctl(size_of_buffer, nullptr, 0);
  if (size <= 0) return {};
  std::string log(static_cast<size_t>(size), '\0');
  const int got = ::klogctl(read_all, log.data(), size);
  return got <= 0 ? std::vector<Xid>() : xids_in(std::string_view(log).substr(0, static_cast<size_t>(got)));
}

}  // namespace coldstart
