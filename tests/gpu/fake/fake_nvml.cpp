// SPDX-License-Identifier: Apache-2.0
// A FAKE libnvidia-ml.so.1: see fake_gpu.h. Handles are 1 + the GPU's index.
#include <cstdio>
#include <cstring>

#include "fake_gpu.h"

namespace {

enum : int { success = 0, invalid = 2, not_supported = 3, insufficient_size = 7 };

fake::Gpu gpu_of(void* device) {
  return fake::gpus().at(reinterpret_cast<uintptr_t>(device) - 1);
}

int copy(const std::string& text, char* into, unsigned length) {
  if (text.size() + 1 > length) return insufficient_size;
  std::memcpy(into, text.c_str(), text.size() + 1);
  return success;
}

}  // namespace

extern "C" {

struct Memory {
  unsigned long long total, free, used;
};
struct PciInfo {
  char old_text[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char text[32];
};
struct ProcessInfo {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};

int nvmlInit_v2() {
  return success;
}
int nvmlShutdown() {
  return success;
}
const char* nvmlErrorString(int) {
  return "an error of the fake";
}
int nvmlSystemGetDriverVersion(char* text, unsigned length) {
  return copy(fake::text_of("driver", "580.95.05"), text, length);
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = static_cast<unsigned>(fake::gpus().size());
  return success;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = reinterpret_cast<void*>(static_cast<uintptr_t>(index) + 1);
  return success;
}
int nvmlDeviceGetName(void* device, char* name, unsigned length) {
  return copy(gpu_of(device).name, name, length);
}
int nvmlDeviceGetUUID(void* device, char* uuid, unsigned length) {
  return copy(gpu_of(device).uuid, uuid, length);
}
int nvmlDeviceGetPciInfo_v3(void* device, PciInfo* info) {
  *info = {};
  info->bus = static_cast<unsigned>(reinterpret_cast<uintptr_t>(device));
  return success;
}
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  const fake::Gpu gpu = gpu_of(device);
  *memory = {gpu.total, gpu.total - gpu.used(), gpu.used()};
  return success;
}
int nvmlDeviceGetMigMode(void* device, unsigned* current, unsigned* pending) {
  *current = *pending = gpu_of(device).mig ? 1 : 0;
  return success;
}
int nvmlDeviceGetTotalEccErrors(void* device, int, int, unsigned long long* count) {
  *count = gpu_of(device).ecc;
  return success;
}
int nvmlDeviceGetTemperature(void* device, int, unsigned* degrees) {
  *degrees = gpu_of(device).temperature;
  return success;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* reasons) {
  *reasons = gpu_of(device).throttle;
  return success;
}
int nvmlDeviceGetPersistenceMode(void*, int* mode) {
  *mode = fake::text_of("persistence", "1") == "1" ? 1 : 0;
  return success;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, ProcessInfo* infos) {
  const fake::Gpu gpu = gpu_of(device);
  uint8_t uuid[16];
  fake::parse_uuid(gpu.uuid, uuid);
  unsigned found = 0;
  for (const pid_t pid : fake::cuda_processes()) {
    const fake::PageOf page(pid);
    if (page.get() == nullptr || page->state == fake::checkpointed ||
        std::memcmp(page->device, uuid, 16) != 0)
      continue;
    if (found < *count) infos[found] = {static_cast<unsigned>(pid), page->bytes, ~0U, ~0U};
    ++found;
  }
  const int result = found > *count ? insufficient_size : success;
  *count = found;
  return result;
}

}  // extern "C"
