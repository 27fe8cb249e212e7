// SPDX-License-Identifier: Apache-2.0
#pragma once
// The driver's calls that the fake has, beside cuGetProcAddress and those of fake_checkpoint.h.

#include "fake_types.h"

extern "C" {
CUresult cuInit(unsigned);
CUresult cuDriverGetVersion(int* version);
CUresult cuGetErrorName(CUresult error, const char** text);
CUresult cuGetErrorString(CUresult error, const char** text);
CUresult cuDeviceGetCount(int* count);
CUresult cuDeviceGet(CUdevice* device, int ordinal);
CUresult cuDeviceGetName(char* name, int length, CUdevice device);
CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device);
CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device);
CUresult cuDevicePrimaryCtxRetain(void** context, CUdevice device);
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice);
CUresult cuCtxSetCurrent(void*);
CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total);
CUresult cuMemAlloc_v2(CUdeviceptr* at, size_t bytes);
CUresult cuMemFree_v2(CUdeviceptr at);
CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr in);
CUresult cuIpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr in);
CUresult cuIpcOpenMemHandle_v2(CUdeviceptr* at, CUipcMemHandle handle, unsigned flags);
CUresult cuIpcCloseMemHandle(CUdeviceptr at);
CUresult cuMemHostAlloc(void** at, size_t bytes, unsigned);
CUresult cuMemFreeHost(void*);
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes);
CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes);
CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t bytes);
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, void* stream);
CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, void* stream);
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream);
CUresult cuStreamCreate(void** stream, unsigned);
CUresult cuStreamDestroy_v2(void* stream);
CUresult cuStreamSynchronize(void* stream);
CUresult cuEventCreate(void** event, unsigned);
CUresult cuEventRecord(void* handle, void* stream);
CUresult cuEventSynchronize(void* handle);
CUresult cuEventElapsedTime(float* ms, void* start, void* end);
CUresult cuEventDestroy_v2(void* event);
CUresult cuModuleLoadData(void** module, const void* image);
CUresult cuModuleUnload(void* module);
CUresult cuModuleGetFunction(void** function, void* module, const char* name);
CUresult cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                        void* stream, void** parameters, void**);
}
