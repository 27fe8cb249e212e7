// SPDX-License-Identifier: Apache-2.0
#pragma once
// This process as one that uses the GPU.

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <linux/futex.h>

#include "fake_gpu.h"
#include "fake_types.h"

namespace fake {

struct Allocation {
  size_t bytes = 0;
  int file = -1;               // of vram; -1 while checkpointed
  std::string path;            // of it
  std::vector<uint8_t> saved;  // the host copy while checkpointed
  bool exported = false;       // by cuIpcGetMemHandle
};

struct Process {
  Page* page = nullptr;  // null: cuInit was not called
  std::mutex mutex;      // guards `memory`
  std::map<CUdeviceptr, Allocation> memory;
  std::map<CUdeviceptr, size_t> opened;  // memory of other processes
  Gpu gpu;
};
Process& self();

/// Of a call of the application: waits until the process is not locked, and keeps it from being locked.
class Call {
 public:
  Call() {
    Page* page = self().page;
    if (page == nullptr) return;
    for (;;) {
      ++page->in_flight;
      const uint32_t state = page->state;
      if (state == running) return;
      --page->in_flight;
      futex(page->state, FUTEX_WAIT, state, 50);
    }
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    if (self().page != nullptr) --self().page->in_flight;
  }
};

/// A file of vram; gives -1 where the GPU has no room.
int make_vram(const Gpu& gpu, size_t bytes, std::string& path);
void* map_vram(int fd, void* at, size_t bytes);

/// From the first use of device memory on, as only such a process has something to checkpoint.
CUresult become_cuda_process();

}  // namespace fake
