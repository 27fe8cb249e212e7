// SPDX-License-Identifier: Apache-2.0
// Streams, each a thread with a queue, so that what is called asynchronous is; and events.
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include <unistd.h>

#include "fake_driver.h"
#include "fake_faults.h"

using namespace fake;

namespace {

struct Stream {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> queue;
  bool busy = false, stop = false;
  std::thread thread{[this] { work(); }};

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return stop || !queue.empty(); });
      if (queue.empty()) return;
      auto job = std::move(queue.front());
      queue.pop_front();
      busy = true;
      lock.unlock();
      job();
      lock.lock();
      busy = false;
      changed.notify_all();
    }
  }
  void add(std::function<void()> job) {
    const std::lock_guard lock(mutex);
    queue.push_back(std::move(job));
    changed.notify_all();
  }
  void drain() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return queue.empty() && !busy; });
  }
  ~Stream() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
      changed.notify_all();
    }
    thread.join();
  }
};

struct Event {
  std::mutex mutex;
  std::condition_variable changed;
  bool recorded = true;
  std::chrono::steady_clock::time_point time;
};

void run_on(void* stream, std::function<void()> job) {
  if (stream == nullptr)
    job();
  else
    static_cast<Stream*>(stream)->add(std::move(job));
}

}  // namespace

extern "C" {

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, void* stream) {
  const Fault fault = fault_of("htod");
  if (fault.action == "fail") return static_cast<CUresult>(fault.argument);
  run_on(stream, [=] {
    if (fault.action == "delay") ::usleep(static_cast<useconds_t>(fault.argument) * 1000);
    std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    if (fault.action == "flip") *reinterpret_cast<uint8_t*>(to) ^= 1;
  });
  return success;
}
CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, void* stream) {
  run_on(stream, [=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); });
  return success;
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream) {
  run_on(stream, [=] { std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); });
  return success;
}
CUresult cuStreamCreate(void** stream, unsigned) {
  *stream = new Stream;
  return success;
}
CUresult cuStreamDestroy_v2(void* stream) {
  delete static_cast<Stream*>(stream);
  return success;
}
CUresult cuStreamSynchronize(void* stream) {
  if (stream != nullptr) static_cast<Stream*>(stream)->drain();
  return success;
}
CUresult cuEventCreate(void** event, unsigned) {
  *event = new Event;
  return success;
}
CUresult cuEventRecord(void* handle, void* stream) {
  auto* event = static_cast<Event*>(handle);
  {
    const std::lock_guard lock(event->mutex);
    event->recorded = false;
  }
  run_on(stream, [event] {
    const std::lock_guard lock(event->mutex);
    event->recorded = true;
    event->time = std::chrono::steady_clock::now();
    event->changed.notify_all();
  });
  return success;
}
CUresult cuEventSynchronize(void* handle) {
  auto* event = static_cast<Event*>(handle);
  std::unique_lock lock(event->mutex);
  event->changed.wait(lock, [event] { return event->recorded; });
  return success;
}
CUresult cuEventElapsedTime(float* ms, void* start, void* end) {
  *ms = std::chrono::duration<float, std::milli>(static_cast<Event*>(end)->time -
                                                 static_cast<Event*>(start)->time)
            .count();
  return success;
}
CUresult cuEventDestroy_v2(void* event) {
  delete static_cast<Event*>(event);
  return success;
}

}  // extern "C"
