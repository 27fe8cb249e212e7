// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/device.h"

#include <fmt/format.h>

namespace coldstart {

namespace {

using cuda::Context;
using cuda::Device;
using cuda::DevicePtr;
using cuda::Event;
using cuda::FunctionHandle;
using cuda::Module;
using cuda::Result;
using cuda::Stream;

/// Calls a function of the driver; looking it up takes less than a microsecond.
template <class F, class... A>
Result call(const CudaDriver& driver, const char* name, int version, A... arguments) {
  return driver.function<F>(name, version)(arguments...);
}

/// For destructors: what cannot be released goes with the process.
template <class F, class... A>
void release_by(const CudaDriver& driver, const char* name, int version, A... arguments) noexcept {
  try {
    call<F>(driver, name, version, arguments...);
  } catch (const Error&) {
  }
}

}  // namespace

CudaDevice::CudaDevice(const CudaDriver& driver, int ordinal) : driver_(driver) {
  driver.check(call<Result(Device*, int)>(driver, "cuDeviceGet", 2000, &device_, ordinal), "find a GPU");
  driver.check(call<Result(Context*, Device)>(driver, "cuDevicePrimaryCtxRetain", 7000, &context_, device_),
               "make a context on a GPU");
  enter();
}

CudaDevice::~CudaDevice() {
  release_by<Result(Device)>(driver_, "cuDevicePrimaryCtxRelease", 11000, device_);
}

void CudaDevice::enter() const {
  driver_.check(call<Result(Context)>(driver_, "cuCtxSetCurrent", 4000, context_), "use a context");
}

uint64_t CudaDevice::free_bytes() const {
  size_t free_now = 0, total = 0;
  driver_.check(call<Result(size_t*, size_t*)>(driver_, "cuMemGetInfo", 3020, &free_now, &total),
                "ask for free device memory");
  return free_now;
}

DevicePtr CudaDevice::allocate(uint64_t bytes) const {
  DevicePtr at = 0;
  driver_.check(call<Result(DevicePtr*, size_t)>(driver_, "cuMemAlloc", 3020, &at, size_t{bytes}),
                fmt::format("allocate {} bytes of device memory", bytes));
  return at;
}

void CudaDevice::release(DevicePtr at) const noexcept {
  release_by<Result(DevicePtr)>(driver_, "cuMemFree", 3020, at);
}

void* CudaDevice::allocate_pinned(size_t bytes) const {
  void* at = nullptr;
  driver_.check(call<Result(void**, size_t, unsigned)>(driver_, "cuMemHostAlloc", 2020, &at, bytes, 0U),
                fmt::format("allocate {} bytes of pinned memory", bytes));
  return at;
}

void CudaDevice::release_pinned(void* at) const noexcept {
  release_by<Result(void*)>(driver_, "cuMemFreeHost", 2000, at);
}

Stream CudaDevice::make_stream() const {
  constexpr unsigned non_blocking = 1;
  Stream stream = nullptr;
  driver_.check(call<Result(Stream*, unsigned)>(driver_, "cuStreamCreate", 2000, &stream, non_blocking),
                "make a stream");
  return stream;
}

void CudaDevice::release(Stream stream) const noexcept {
  release_by<Result(Stream)>(driver_, "cuStreamSynchronize", 2000, stream);
  release_by<Result(Stream)>(driver_, "cuStreamDestroy", 4000, stream);
}

Event CudaDevice::make_event() const {
  Event event = nullptr;
  driver_.check(call<Result(Event*, unsigned)>(driver_, "cuEventCreate", 2000, &event, 0U), "make an event");
  return event;
}

void CudaDevice::release_event(Event event) const noexcept {
  release_by<Result(Event)>(driver_, "cuEventDestroy", 4000, event);
}

void CudaDevice::copy_in(DevicePtr to, const void* from, size_t bytes, Stream stream) const {
  driver_.check(call<Result(DevicePtr, const void*, size_t, Stream)>(driver_, "cuMemcpyHtoDAsync", 3020, to,
                                                                     from, bytes, stream),
                "copy to the GPU");
}

void CudaDevice::copy_out(void* to, DevicePtr from, size_t bytes, Stream stream) const {
  driver_.check(call<Result(void*, DevicePtr, size_t, Stream)>(driver_, "cuMemcpyDtoHAsync", 3020, to, from,
                                                               bytes, stream),
                "copy from the GPU");
}

void CudaDevice::copy(DevicePtr to, DevicePtr from, uint64_t bytes, Stream stream) const {
  driver_.check(call<Result(DevicePtr, DevicePtr, size_t, Stream)>(driver_, "cuMemcpyDtoDAsync", 3020, to,
                                                                   from, size_t{bytes}, stream),
                "copy on the GPU");
}

void CudaDevice::record(Event event, Stream stream) const {
  driver_.check(call<Result(Event, Stream)>(driver_, "cuEventRecord", 2000, event, stream),
                "record an event");
}

void CudaDevice::wait_event(Event event) const {
  driver_.check(call<Result(Event)>(driver_, "cuEventSynchronize", 2000, event), "wait for the GPU");
}

void CudaDevice::wait_stream(Stream stream) const {
  driver_.check(call<Result(Stream)>(driver_, "cuStreamSynchronize", 2000, stream), "wait for the GPU");
}

float CudaDevice::milliseconds_between(Event start, Event end) const {
  float milliseconds = 0;
  driver_.check(
      call<Result(float*, Event, Event)>(driver_, "cuEventElapsedTime", 2000, &milliseconds, start, end),
      "take the time on the GPU");
  return milliseconds;
}

void CudaDevice::run(const char* ptx, const char* kernel, unsigned grid, unsigned block, void** parameters,
                     Stream stream) const {
  Module module = nullptr;
  FunctionHandle function = nullptr;
  driver_.check(call<Result(Module*, const void*)>(driver_, "cuModuleLoadData", 2000, &module,
                                                   static_cast<const void*>(ptx)),
                "load a kernel");
  driver_.check(call<Result(FunctionHandle*, Module, const char*)>(driver_, "cuModuleGetFunction", 2000,
                                                                   &function, module, kernel),
                "find a kernel");
  driver_.check(
      call<Result(FunctionHandle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                  Stream, void**, void**)>(driver_, "cuLaunchKernel", 4000, function, grid, grid, 1U, block,
                                           block, 1U, 0U, stream, parameters, static_cast<void**>(nullptr)),
      "start a kernel");
  wait_stream(stream);
  release_by<Result(Module)>(driver_, "cuModuleUnload", 2000, module);
}

}  // namespace coldstart
