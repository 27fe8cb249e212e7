// SPDX-License-Identifier: Apache-2.0
#pragma once
// A FAKE of NVIDIA's driver, for machines without a GPU: what its two libraries have in common.
//
// The fake has one folder, $COLDSTART_FAKE_GPU, which all processes that use it must see:
//
//   gpus           a line a GPU: UUID TOTAL_MIB MIG(0|1) ECC_ERRORS TEMPERATURE THROTTLE NAME…
//                  absent: there is one
//   cuda_version   as cuDriverGetVersion gives it; absent: 13000. Symbols newer than it do not exist
//   driver         NVML's driver version; absent: 580.95.05
//   persistence    0: persistence mode is off; absent: it is on
//   vram/UUID/*    device memory: a file an allocation, flocked by its process: a dead one's is free again
//   faults         a line a fault: CALL N ACTION [ARGUMENT]: at the N-th CALL (1 is the first, 0 is each)
//   count/CALL     how often it was called
//   calls          a line a call: CALL PID STATE_BEFORE RESULT
//   host_copies    a line an allocation that was restored: BYTES, those of them written to without a fault,
//                  the bytes in huge pages of the mapping that they are in, the microseconds of pinning them
//
// As with the real driver a process's device memory is nothing that CRIU could see, a checkpoint copies it
// into the process's own memory, a thread inside the process does the work (so a frozen process cannot be
// checkpointed), a restore pins that copy page by page as if it wrote to it
// (github.com/google/gvisor/pull/13753), and a restore that ran out of memory can never be repeated.

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace fake {

struct Gpu {
  std::string uuid;  // "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
  uint64_t total = 0;
  bool mig = false;
  unsigned ecc = 0;
  unsigned temperature = 0;
  unsigned long long throttle = 0;
  std::string name;
  uint64_t used() const;
};

enum State : uint32_t { running, locked, checkpointed, failed };

constexpr uint32_t magic = 0xfa4ec0da;
constexpr const char* memfd_name = "fake-cuda";

/// What the process and whoever controls it share: a memfd of the process.
struct Page {
  uint32_t magic = 0;
  int32_t pid = 0;  // in the process's own pid namespace: a fork inherits the memfd, but is not this process
  int32_t restore_tid = 0;
  std::atomic<uint32_t> state{running};
  std::atomic<uint32_t> request{0};  // counts requests; a futex
  std::atomic<uint32_t> done{0};     // the last request that was answered; a futex
  uint32_t operation = 0;
  uint32_t argument = 0;  // the lock's timeout, ms
  int32_t result = 0;
  std::atomic<uint32_t> poisoned{0};  // a restore ran out of memory
  std::atomic<uint32_t> in_flight{0};
  uint32_t pairs = 0;
  uint8_t pair[16][2][16] = {};
  std::atomic<uint64_t> bytes{0};  // of device memory, whether on the device or copied
  uint8_t device[16] = {};         // the GPU it uses
};

enum Operation : uint32_t { op_lock, op_checkpoint, op_restore, op_unlock };

std::string folder();
std::string text_of(const std::string& name, const std::string& otherwise);
std::vector<Gpu> gpus();
void parse_uuid(const std::string& text, uint8_t* into);

/// The page of a process, mapped until the object ends; null if it does not use CUDA.
class PageOf {
 public:
  explicit PageOf(pid_t pid);
  PageOf(const PageOf&) = delete;
  PageOf& operator=(const PageOf&) = delete;
  ~PageOf();
  Page* get() const { return page_; }
  Page* operator->() const { return page_; }

 private:
  Page* page_ = nullptr;
};

pid_t inner_pid(pid_t pid);
/// All processes that use CUDA, with the pids that the caller sees.
std::vector<pid_t> cuda_processes();
long futex(std::atomic<uint32_t>& word, int operation, uint32_t value, unsigned ms);

}  // namespace fake
