// SPDX-License-Identifier: Apache-2.0
// A FAKE libcuda.so.1: see fake_gpu.h. Here is what is not memory, streams or checkpoints.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include <unistd.h>

#include "fake_checkpoint.h"
#include "fake_driver.h"
#include "fake_faults.h"
#include "fake_process.h"

using namespace fake;

namespace {

struct Function {
  std::string name;
};

/// The one kernel that the fake can run: coldstart_matmul(a, b, c, n), C = A x B of n x n unsigned ints.
void run_matmul(void** parameters) {
  const auto* a = reinterpret_cast<const uint32_t*>(*static_cast<CUdeviceptr*>(parameters[0]));
  const auto* b = reinterpret_cast<const uint32_t*>(*static_cast<CUdeviceptr*>(parameters[1]));
  auto* c = reinterpret_cast<uint32_t*>(*static_cast<CUdeviceptr*>(parameters[2]));
  const uint32_t n = *static_cast<uint32_t*>(parameters[3]);
  for (uint32_t row = 0; row < n; ++row)
    for (uint32_t column = 0; column < n; ++column) {
      uint32_t sum = 0;
      for (uint32_t k = 0; k < n; ++k) sum += a[row * n + k] * b[k * n + column];
      c[row * n + column] = sum;
    }
  if (fault_of("matmul").action == "wrong") c[0] ^= 1;
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned) {
  const Fault fault = fault_of("init");
  if (fault.action == "delay") ::usleep(static_cast<useconds_t>(fault.argument) * 1000);
  if (fault.action == "hang") hang();
  if (fault.action == "fail") return static_cast<CUresult>(fault.argument);
  // Of a list, what stands behind the first that there is not is not visible.
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && (*visible == '\0' || *visible == '-')) return no_device;
  initialized = true;
  return success;
}
CUresult cuDriverGetVersion(int* version) {
  *version = std::atoi(fake::text_of("cuda_version", "13000").c_str());
  return success;
}
CUresult cuGetErrorName(CUresult error, const char** text) {
  static const std::map<int, const char*> names = {{success, "CUDA_SUCCESS"},
                                                   {invalid_value, "CUDA_ERROR_INVALID_VALUE"},
                                                   {out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY"},
                                                   {not_initialized, "CUDA_ERROR_NOT_INITIALIZED"},
                                                   {no_device, "CUDA_ERROR_NO_DEVICE"},
                                                   {invalid_context, "CUDA_ERROR_INVALID_CONTEXT"},
                                                   {os, "CUDA_ERROR_OPERATING_SYSTEM"},
                                                   {illegal_state, "CUDA_ERROR_ILLEGAL_STATE"},
                                                   {not_found, "CUDA_ERROR_NOT_FOUND"},
                                                   {not_ready, "CUDA_ERROR_NOT_READY"},
                                                   {not_supported, "CUDA_ERROR_NOT_SUPPORTED"},
                                                   {unknown, "CUDA_ERROR_UNKNOWN"}};
  const auto it = names.find(error);
  if (it == names.end()) return invalid_value;
  *text = it->second;
  return success;
}
CUresult cuGetErrorString(CUresult error, const char** text) {
  static const std::map<int, const char*> texts = {
      {success, "no error"},
      {invalid_value, "invalid argument"},
      {out_of_memory, "out of memory"},
      {not_initialized, "initialization error"},
      {no_device, "no CUDA-capable device is detected"},
      {invalid_context, "invalid device context"},
      {os, "OS call failed or operation not supported on this OS"},
      {illegal_state, "the operation cannot be performed in the present state"},
      {not_found, "named symbol not found"},
      {not_ready, "device not ready"},
      {not_supported, "operation not supported"},
      {unknown, "unknown error"}};
  const auto it = texts.find(error);
  if (it == texts.end()) return invalid_value;
  *text = it->second;
  return success;
}
CUresult cuDeviceGetCount(int* count) {
  *count = static_cast<int>(fake::gpus().size());
  return success;
}
CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return success;
}
CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  std::snprintf(name, static_cast<size_t>(length), "%s",
                fake::gpus().at(static_cast<size_t>(device)).name.c_str());
  return success;
}
CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  fake::parse_uuid(fake::gpus().at(static_cast<size_t>(device)).uuid, uuid->bytes);
  return success;
}
CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  *bytes = fake::gpus().at(static_cast<size_t>(device)).total;
  return success;
}
CUresult cuDevicePrimaryCtxRetain(void** context, CUdevice device) {
  if (!initialized) return not_initialized;
  if (const CUresult result = become_cuda_process(); result != success) return result;
  *context = reinterpret_cast<void*>(static_cast<uintptr_t>(device) + 1);
  return success;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) {
  return success;
}
CUresult cuCtxSetCurrent(void*) {
  return success;
}
CUresult cuModuleLoadData(void** module, const void* image) {
  static const std::string needle = "coldstart_matmul";
  const std::string text = static_cast<const char*>(image);
  if (text.find(needle) == std::string::npos) return not_supported;
  *module = new Function{needle};
  return success;
}
CUresult cuModuleUnload(void* module) {
  delete static_cast<Function*>(module);
  return success;
}
CUresult cuModuleGetFunction(void** function, void* module, const char* name) {
  if (static_cast<Function*>(module)->name != name) return not_found;
  *function = module;
  return success;
}
CUresult cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                        void* stream, void** parameters, void**) {
  cuStreamSynchronize(stream);
  run_matmul(parameters);
  return success;
}

}  // extern "C"
