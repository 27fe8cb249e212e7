// SPDX-License-Identifier: Apache-2.0
#pragma once
// One GPU as a place for bytes and work of this process: its primary context, memory, streams, events.

#include <cstdint>
#include <utility>

#include "core/gpu/cuda_driver.h"

namespace coldstart {

/// The functions that work on a device, and its context. Thread-safe; each thread that uses it calls enter().
class CudaDevice {
 public:
  /// The driver must be initialised and outlive this.
  CudaDevice(const CudaDriver& driver, int ordinal);
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;
  ~CudaDevice();

  void enter() const;
  uint64_t free_bytes() const;

  cuda::DevicePtr allocate(uint64_t bytes) const;
  void release(cuda::DevicePtr at) const noexcept;
  void* allocate_pinned(size_t bytes) const;
  void release_pinned(void* at) const noexcept;
  cuda::Stream make_stream() const;
  void release(cuda::Stream stream) const noexcept;
  cuda::Event make_event() const;
  void release_event(cuda::Event event) const noexcept;

  void copy_in(cuda::DevicePtr to, const void* from, size_t bytes, cuda::Stream stream) const;
  void copy_out(void* to, cuda::DevicePtr from, size_t bytes, cuda::Stream stream) const;
  void copy(cuda::DevicePtr to, cuda::DevicePtr from, uint64_t bytes, cuda::Stream stream) const;
  void record(cuda::Event event, cuda::Stream stream) const;
  void wait_event(cuda::Event event) const;
  void wait_stream(cuda::Stream stream) const;
  float milliseconds_between(cuda::Event start, cuda::Event end) const;
  /// Runs one kernel of a PTX text on `stream` to its end.
  void run(const char* ptx, const char* kernel, unsigned grid, unsigned block, void** parameters,
           cuda::Stream stream) const;

  const CudaDriver& driver() const { return driver_; }

 private:
  const CudaDriver& driver_;
  cuda::Device device_ = 0;
  cuda::Context context_ = nullptr;
};

/// Memory of a device, owned. Move-only.
class DeviceBuffer {
 public:
  DeviceBuffer(const CudaDevice& device, uint64_t bytes) : device_(&device), at_(device.allocate(bytes)) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : device_(other.device_), at_(std::exchange(other.at_, cuda::DevicePtr{0})) {}
  DeviceBuffer& operator=(DeviceBuffer&&) = delete;
  ~DeviceBuffer() {
    if (at_ != 0) device_->release(at_);
  }
  cuda::DevicePtr at() const { return at_; }

 private:
  const CudaDevice* device_;
  cuda::DevicePtr at_;
};

/// A stream, owned; its destruction waits for what runs on it.
class DeviceStream {
 public:
  explicit DeviceStream(const CudaDevice& device) : device_(device), stream_(device.make_stream()) {}
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;
  ~DeviceStream() { device_.release(stream_); }
  cuda::Stream get() const { return stream_; }

 private:
  const CudaDevice& device_;
  cuda::Stream stream_;
};

/// An event, owned.
class DeviceEvent {
 public:
  explicit DeviceEvent(const CudaDevice& device) : device_(device), event_(device.make_event()) {}
  DeviceEvent(const DeviceEvent&) = delete;
  DeviceEvent& operator=(const DeviceEvent&) = delete;
  ~DeviceEvent() { device_.release_event(event_); }
  cuda::Event get() const { return event_; }

 private:
  const CudaDevice& device_;
  cuda::Event event_;
};

}  // namespace coldstart
