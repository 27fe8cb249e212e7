// SPDX-License-Identifier: Apache-2.0
// A FAKE libcuda.so.1: see fake_gpu.h. Its types are declared here once more, so that a mistake in ours is
// not repeated.
#include <algorithm>
#include <climits>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake_gpu.h"

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
struct CUuuid {
  uint8_t bytes[16];
};
struct CUipcMemHandle {
  char reserved[64];
};
struct CUcheckpointLockArgs {
  unsigned timeoutMs, reserved0;
  uint64_t reserved1[7];
};
struct CUcheckpointGpuPair {
  CUuuid oldUuid, newUuid;
};
struct CUcheckpointRestoreArgs {
  CUcheckpointGpuPair* gpuPairs;
  unsigned gpuPairsCount;
  char reserved[52 - sizeof(void*)];
  uint64_t reserved1;
};

namespace {

enum : CUresult {
  success = 0,
  invalid_value = 1,
  out_of_memory = 2,
  not_initialized = 3,
  no_device = 100,
  invalid_context = 201,
  os = 304,
  illegal_state = 401,
  not_found = 500,
  not_ready = 600,
  not_supported = 801,
  unknown = 999
};

const char* const state_names[] = {"running", "locked", "checkpointed", "failed"};
const char* const op_names[] = {"lock", "checkpoint", "restore", "unlock"};

// --- this process as one that uses the GPU
// ------------------------------------------------------------------

struct Allocation {
  size_t bytes = 0;
  int file = -1;               // of vram; -1 while checkpointed
  std::string path;            // of it
  std::vector<uint8_t> saved;  // the host copy while checkpointed
  bool exported = false;       // by cuIpcGetMemHandle
};

struct Process {
  fake::Page* page = nullptr;  // null: cuInit was not called
  std::mutex mutex;            // guards `memory`
  std::map<CUdeviceptr, Allocation> memory;
  std::map<CUdeviceptr, size_t> opened;  // memory of other processes
  fake::Gpu gpu;
};
Process& self() {
  static auto* process = new Process;  // outlives every thread
  return *process;
}

/// Of a call of the application: waits until the process is not locked, and keeps it from being locked.
class Call {
 public:
  Call() {
    fake::Page* page = self().page;
    if (page == nullptr) return;
    for (;;) {
      ++page->in_flight;
      const uint32_t state = page->state;
      if (state == fake::running) return;
      --page->in_flight;
      fake::futex(page->state, FUTEX_WAIT, state, 50);
    }
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    if (self().page != nullptr) --self().page->in_flight;
  }
};

/// A file of vram; gives -1 where the GPU has no room.
int make_vram(const fake::Gpu& gpu, size_t bytes, std::string& path) {
  if (gpu.used() + bytes > gpu.total) return -1;
  const std::string folder = fake::folder() + "/vram";
  ::mkdir(folder.c_str(), 0777);
  path = folder + "/" + gpu.uuid;
  ::mkdir(path.c_str(), 0777);
  path += "/XXXXXX";
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0 || ::flock(fd, LOCK_EX) != 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) return -1;
  return fd;
}

void* map_vram(int fd, void* at, size_t bytes) {
  return ::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (at != nullptr ? MAP_FIXED : 0), fd, 0);
}

CUresult do_checkpoint(Process& process) {
  const std::lock_guard lock(process.mutex);
  // Memory that processes share cannot be checkpointed, on either side.
  if (!process.opened.empty()) return not_supported;
  for (const auto& [at, a] : process.memory)
    if (a.exported) return not_supported;
  for (auto& [at, a] : process.memory) {
    auto* bytes = reinterpret_cast<uint8_t*>(at);
    a.saved.assign(bytes, bytes + a.bytes);
    // The address range stays taken, as it does with the driver.
    ::mmap(bytes, a.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    ::unlink(a.path.c_str());
    ::close(a.file);
    a.file = -1;
  }
  process.page->state = fake::checkpointed;
  return success;
}

CUresult do_restore(Process& process) {
  fake::Page& page = *process.page;
  if (page.poisoned != 0) return os;
  std::string uuid_wanted;
  uint8_t target[16];
  std::memcpy(target, page.device, sizeof target);
  if (page.pairs != 0) {
    bool mapped = false;
    for (uint32_t i = 0; i < page.pairs; ++i)
      if (std::memcmp(page.pair[i][0], page.device, 16) == 0) {
        std::memcpy(target, page.pair[i][1], 16);
        mapped = true;
      }
    if (!mapped) return invalid_value;
  }
  bool found = false;
  for (const fake::Gpu& gpu : fake::gpus()) {
    uint8_t uuid[16];
    fake::parse_uuid(gpu.uuid, uuid);
    if (std::memcmp(uuid, target, 16) != 0) continue;
    process.gpu = gpu;
    found = true;
  }
  if (!found) return no_device;
  const std::lock_guard lock(process.mutex);
  for (auto& [at, a] : process.memory) {
    a.file = make_vram(process.gpu, a.bytes, a.path);
    if (a.file < 0) {
      page.poisoned = 1;
      return out_of_memory;
    }
    void* mapped = map_vram(a.file, reinterpret_cast<void*>(at), a.bytes);
    if (mapped == MAP_FAILED) return unknown;
    std::memcpy(mapped, a.saved.data(), a.bytes);
    a.saved = {};
  }
  std::memcpy(page.device, target, 16);
  page.state = fake::locked;
  return success;
}

CUresult do_lock(fake::Page& page) {
  page.state = fake::locked;
  for (unsigned waited = 0; page.in_flight != 0; ++waited) {
    if (page.argument != 0 && waited >= page.argument) {
      page.state = fake::running;
      fake::futex(page.state, FUTEX_WAKE, INT_MAX, UINT_MAX);
      return not_ready;
    }
    ::usleep(1000);
  }
  return success;
}

/// The thread that does what others ask of this process.
void* restore_thread(void*) {
  Process& process = self();
  fake::Page& page = *process.page;
  __atomic_store_n(&page.restore_tid, static_cast<int32_t>(::syscall(SYS_gettid)), __ATOMIC_RELEASE);
  for (;;) {
    const uint32_t request = page.request;
    if (request == page.done) {
      fake::futex(page.request, FUTEX_WAIT, request, 1000);
      continue;
    }
    switch (page.operation) {
      case fake::op_lock:
        page.result = do_lock(page);
        break;
      case fake::op_checkpoint:
        page.result = do_checkpoint(process);
        break;
      case fake::op_restore:
        page.result = do_restore(process);
        break;
      default:
        page.state = fake::running;
        page.result = success;
    }
    page.done = request;
    fake::futex(page.done, FUTEX_WAKE, INT_MAX, UINT_MAX);
    fake::futex(page.state, FUTEX_WAKE, INT_MAX, UINT_MAX);
  }
}

/// From the first use of device memory on, as only such a process has something to checkpoint.
CUresult become_cuda_process() {
  static std::mutex once;
  const std::lock_guard lock(once);
  Process& process = self();
  if (process.page != nullptr) return success;
  const int fd = ::memfd_create(fake::memfd_name, MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, sizeof(fake::Page)) != 0) return os;
  void* at = ::mmap(nullptr, sizeof(fake::Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return os;
  process.gpu = fake::gpus().front();
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"); visible != nullptr)
    for (const fake::Gpu& gpu : fake::gpus())
      if (gpu.uuid == visible) process.gpu = gpu;
  auto* page = new (at) fake::Page;
  page->pid = ::getpid();
  fake::parse_uuid(process.gpu.uuid, page->device);
  process.page = page;
  page->magic = fake::magic;
  pthread_t thread{};
  if (::pthread_create(&thread, nullptr, restore_thread, nullptr) != 0) return os;
  ::pthread_detach(thread);
  while (__atomic_load_n(&page->restore_tid, __ATOMIC_ACQUIRE) == 0) ::usleep(100);
  return success;
}

// --- this process as one that controls others
// ---------------------------------------------------------------

bool initialized = false;

void append_line(const std::string& name, const std::string& line) {
  const int fd =
      ::open((fake::folder() + "/" + name).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t n = ::write(fd, line.data(), line.size());
  ::close(fd);
}

unsigned count_call(const std::string& name) {
  ::mkdir((fake::folder() + "/count").c_str(), 0777);
  const int fd = ::open((fake::folder() + "/count/" + name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return 0;
  ::flock(fd, LOCK_EX);
  char text[16] = {};
  [[maybe_unused]] ssize_t n = ::pread(fd, text, sizeof text - 1, 0);
  const unsigned count = static_cast<unsigned>(std::atoi(text)) + 1;
  n = ::pwrite(fd, text, static_cast<size_t>(std::snprintf(text, sizeof text, "%u\n", count)), 0);
  ::close(fd);
  return count;
}

struct Fault {
  std::string action;
  long argument = 0;
};

Fault fault_of(const std::string& call) {
  const unsigned number = count_call(call);
  std::ifstream in(fake::folder() + "/faults");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    unsigned wanted = 0;
    Fault fault;
    if (!(words >> name >> wanted >> fault.action) || name != call) continue;
    words >> fault.argument;
    if (wanted == 0 || wanted == number) return fault;
  }
  return {};
}

[[noreturn]] void hang() {
  for (;;) ::pause();
}

/// What happens instead of the call, if anything.
bool instead(const Fault& fault, pid_t pid, const CUcheckpointLockArgs* lock, CUresult& result) {
  if (fault.action == "delay") ::usleep(static_cast<useconds_t>(fault.argument) * 1000);
  if (fault.action == "hang") hang();
  if (fault.action == "kill-caller") ::raise(SIGKILL);
  if (fault.action == "kill-parent") ::kill(::getppid(), SIGKILL);
  if (fault.action == "kill-both") {
    ::kill(::getppid(), SIGKILL);
    ::raise(SIGKILL);
  }
  if (fault.action == "fail") {
    result = static_cast<CUresult>(fault.argument);
    return true;
  }
  if (fault.action == "break") {  // an error that the process does not survive
    if (const fake::PageOf page(pid); page.get() != nullptr) page->state = fake::failed;
    result = unknown;
    return true;
  }
  if (fault.action == "busy") {
    if (lock == nullptr || lock->timeoutMs == 0) hang();
    ::usleep(lock->timeoutMs * 1000);
    result = not_ready;
    return true;
  }
  if (fault.action == "oom") {
    if (const fake::PageOf page(pid); page.get() != nullptr) page->poisoned = 1;
    result = out_of_memory;
    return true;
  }
  if (fault.action == "kill-target") {
    ::kill(pid, SIGKILL);
    result = os;
    return true;
  }
  return false;
}

/// Has the process's own thread do it; a process that dies meanwhile is an error.
CUresult ask(fake::Page& page, pid_t pid, uint32_t operation) {
  page.operation = operation;
  const uint32_t request = page.done + 1;
  page.request = request;
  fake::futex(page.request, FUTEX_WAKE, INT_MAX, UINT_MAX);
  while (page.done != request) {
    fake::futex(page.done, FUTEX_WAIT, request - 1, 20);
    if (page.done != request && ::kill(pid, 0) != 0) return os;
  }
  return page.result;
}

CUresult transition(uint32_t operation, pid_t pid, const CUcheckpointLockArgs* lock,
                    const CUcheckpointRestoreArgs* restore) {
  static const uint32_t wanted[] = {fake::running, fake::locked, fake::checkpointed, fake::locked};
  if (!initialized) return not_initialized;
  const std::string name = op_names[operation];
  const Fault fault = fault_of(name);
  CUresult result = success;
  std::string before = "none";
  if (const fake::PageOf page(pid); page.get() != nullptr) before = state_names[page->state];
  if (!instead(fault, pid, lock, result)) {
    const fake::PageOf page(pid);
    if (page.get() == nullptr) {
      result = not_initialized;
    } else if (page->state != wanted[operation]) {
      result = illegal_state;
    } else {
      page->argument = lock != nullptr ? lock->timeoutMs : 0;
      page->pairs = restore != nullptr ? std::min(restore->gpuPairsCount, 16U) : 0;
      for (uint32_t i = 0; i < page->pairs; ++i) {
        std::memcpy(page->pair[i][0], restore->gpuPairs[i].oldUuid.bytes, 16);
        std::memcpy(page->pair[i][1], restore->gpuPairs[i].newUuid.bytes, 16);
      }
      result = ask(*page.get(), pid, operation);
    }
  }
  append_line("calls", name + " " + std::to_string(pid) + " " + before + " " + std::to_string(result) + "\n");
  if (fault.action == "kill-caller-after") ::raise(SIGKILL);
  if (fault.action == "kill-parent-after") ::kill(::getppid(), SIGKILL);
  if (fault.action == "kill-both-after") {
    ::kill(::getppid(), SIGKILL);
    ::raise(SIGKILL);
  }
  return result;
}

CUresult process_lock(int pid, CUcheckpointLockArgs* args) {
  return transition(fake::op_lock, pid, args, nullptr);
}
CUresult process_checkpoint(int pid, void*) {
  return transition(fake::op_checkpoint, pid, nullptr, nullptr);
}
CUresult process_restore(int pid, CUcheckpointRestoreArgs* args) {
  return transition(fake::op_restore, pid, nullptr, args);
}
CUresult process_unlock(int pid, void*) {
  return transition(fake::op_unlock, pid, nullptr, nullptr);
}
CUresult process_state(int pid, int* state) {
  if (!initialized) return not_initialized;
  const Fault fault = fault_of("state");
  if (fault.action == "fail") return static_cast<CUresult>(fault.argument);
  const fake::PageOf page(pid);
  if (page.get() == nullptr) return not_initialized;
  *state = static_cast<int>(page->state.load());
  return success;
}
CUresult process_restore_thread(int pid, int* tid) {
  if (!initialized) return not_initialized;
  const fake::PageOf page(pid);
  if (page.get() == nullptr) return not_initialized;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  DIR* dir = ::opendir(tasks.c_str());
  if (dir == nullptr) return invalid_value;
  CUresult result = invalid_value;
  while (const dirent* entry = ::readdir(dir)) {
    const pid_t candidate = std::atoi(entry->d_name);
    if (candidate > 0 && fake::inner_pid(candidate) == page->restore_tid) {
      *tid = candidate;
      result = success;
    }
  }
  ::closedir(dir);
  return result;
}

// --- streams: each a thread with a queue, so that what is called asynchronous is ---------------------------

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
CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
  const Call call;
  *total = self().gpu.total;
  *free_bytes = *total - std::min<uint64_t>(*total, self().gpu.used());
  return success;
}
CUresult cuMemAlloc_v2(CUdeviceptr* at, size_t bytes) {
  const Call call;
  if (self().page == nullptr) return not_initialized;
  Allocation a;
  a.bytes = bytes;
  a.file = make_vram(self().gpu, bytes, a.path);
  if (a.file < 0) return out_of_memory;
  void* mapped = map_vram(a.file, nullptr, bytes);
  if (mapped == MAP_FAILED) return out_of_memory;
  *at = reinterpret_cast<CUdeviceptr>(mapped);
  const std::lock_guard lock(self().mutex);
  self().memory[*at] = std::move(a);
  self().page->bytes += bytes;
  return success;
}
CUresult cuMemFree_v2(CUdeviceptr at) {
  const Call call;
  const std::lock_guard lock(self().mutex);
  const auto it = self().memory.find(at);
  if (it == self().memory.end()) return invalid_value;
  ::munmap(reinterpret_cast<void*>(at), it->second.bytes);
  ::unlink(it->second.path.c_str());
  ::close(it->second.file);
  self().page->bytes -= it->second.bytes;
  self().memory.erase(it);
  return success;
}
CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr in) {
  const std::lock_guard lock(self().mutex);
  const auto find = [&](const auto& memory, auto size_of) {
    auto it = memory.upper_bound(in);
    if (it == memory.begin() || in - (--it)->first >= size_of(it->second)) return false;
    *base = it->first;
    *bytes = size_of(it->second);
    return true;
  };
  const bool found = find(self().memory, [](const Allocation& a) { return a.bytes; }) ||
                     find(self().opened, [](size_t size) { return size; });
  return found ? success : not_found;
}
// A handle is the name of the allocation's file below vram/; it is good for as long as that is there.
CUresult cuIpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr in) {
  const Call call;
  CUdeviceptr base = 0;
  size_t bytes = 0;
  if (cuMemGetAddressRange_v2(&base, &bytes, in) != success) return invalid_value;
  const std::lock_guard lock(self().mutex);
  const auto it = self().memory.find(base);
  if (it == self().memory.end()) return invalid_value;
  it->second.exported = true;
  std::memset(handle, 0, sizeof *handle);
  const std::string name = it->second.path.substr((fake::folder() + "/vram/").size());
  std::snprintf(handle->reserved, sizeof handle->reserved, "%s", name.c_str());
  return success;
}
CUresult cuIpcOpenMemHandle_v2(CUdeviceptr* at, CUipcMemHandle handle, unsigned flags) {
  const Call call;
  if (flags != 1 || handle.reserved[63] != 0) return invalid_value;
  const std::string name = handle.reserved;
  if (name.find('/') == std::string::npos || name.find("..") != std::string::npos) return invalid_value;
  const std::string path = fake::folder() + "/vram/" + name;
  const std::lock_guard lock(self().mutex);
  for (const auto& [own, a] : self().memory)
    if (a.path == path) return invalid_context;  // its own memory
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat st {};
  if (fd < 0 || ::fstat(fd, &st) != 0) return invalid_value;
  void* mapped = map_vram(fd, nullptr, static_cast<size_t>(st.st_size));
  ::close(fd);
  if (mapped == MAP_FAILED) return out_of_memory;
  *at = reinterpret_cast<CUdeviceptr>(mapped);
  self().opened[*at] = static_cast<size_t>(st.st_size);
  return success;
}
CUresult cuIpcCloseMemHandle(CUdeviceptr at) {
  const Call call;
  const std::lock_guard lock(self().mutex);
  const auto it = self().opened.find(at);
  if (it == self().opened.end()) return invalid_value;
  ::munmap(reinterpret_cast<void*>(at), it->second);
  self().opened.erase(it);
  return success;
}
CUresult cuMemHostAlloc(void** at, size_t bytes, unsigned) {
  *at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (*at == MAP_FAILED) return out_of_memory;
  const std::lock_guard lock(self().mutex);
  static auto* sizes = new std::map<void*, size_t>;
  (*sizes)[*at] = bytes;
  return success;
}
CUresult cuMemFreeHost(void*) {
  return success;
}
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
  const Call call;
  std::memcpy(reinterpret_cast<void*>(to), from, bytes);
  return success;
}
CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  const Call call;
  std::memcpy(to, reinterpret_cast<void*>(from), bytes);
  return success;
}
CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t bytes) {
  const Call call;
  std::memset(reinterpret_cast<void*>(to), value, bytes);
  return success;
}
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
  if (stream != nullptr) static_cast<Stream*>(stream)->drain();
  run_matmul(parameters);
  return success;
}

CUresult cuGetProcAddress_v2(const char* symbol, void** function, int version, uint64_t, int* status) {
  struct Symbol {
    void* function;
    int since;
  };
#define FAKE(name, target, since)             \
  {                                           \
    name, {                                   \
      reinterpret_cast<void*>(&target), since \
    }                                         \
  }
  static const std::map<std::string, Symbol> symbols = {
      FAKE("cuInit", cuInit, 2000),
      FAKE("cuDriverGetVersion", cuDriverGetVersion, 2020),
      FAKE("cuGetErrorName", cuGetErrorName, 6000),
      FAKE("cuGetErrorString", cuGetErrorString, 6000),
      FAKE("cuDeviceGetCount", cuDeviceGetCount, 2000),
      FAKE("cuDeviceGet", cuDeviceGet, 2000),
      FAKE("cuDeviceGetName", cuDeviceGetName, 2000),
      FAKE("cuDeviceGetUuid", cuDeviceGetUuid_v2, 11040),
      FAKE("cuDeviceTotalMem", cuDeviceTotalMem_v2, 3020),
      FAKE("cuDevicePrimaryCtxRetain", cuDevicePrimaryCtxRetain, 7000),
      FAKE("cuDevicePrimaryCtxRelease", cuDevicePrimaryCtxRelease_v2, 11000),
      FAKE("cuCtxSetCurrent", cuCtxSetCurrent, 4000),
      FAKE("cuMemGetInfo", cuMemGetInfo_v2, 3020),
      FAKE("cuMemAlloc", cuMemAlloc_v2, 3020),
      FAKE("cuMemFree", cuMemFree_v2, 3020),
      FAKE("cuMemGetAddressRange", cuMemGetAddressRange_v2, 3020),
      FAKE("cuIpcGetMemHandle", cuIpcGetMemHandle, 4010),
      FAKE("cuIpcOpenMemHandle", cuIpcOpenMemHandle_v2, 11000),
      FAKE("cuIpcCloseMemHandle", cuIpcCloseMemHandle, 4010),
      FAKE("cuMemHostAlloc", cuMemHostAlloc, 2020),
      FAKE("cuMemFreeHost", cuMemFreeHost, 2000),
      FAKE("cuMemcpyHtoD", cuMemcpyHtoD_v2, 3020),
      FAKE("cuMemcpyDtoH", cuMemcpyDtoH_v2, 3020),
      FAKE("cuMemsetD8", cuMemsetD8_v2, 3020),
      FAKE("cuMemcpyHtoDAsync", cuMemcpyHtoDAsync_v2, 3020),
      FAKE("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync_v2, 3020),
      FAKE("cuMemcpyDtoDAsync", cuMemcpyDtoDAsync_v2, 3020),
      FAKE("cuStreamCreate", cuStreamCreate, 2000),
      FAKE("cuStreamDestroy", cuStreamDestroy_v2, 4000),
      FAKE("cuStreamSynchronize", cuStreamSynchronize, 2000),
      FAKE("cuEventCreate", cuEventCreate, 2000),
      FAKE("cuEventRecord", cuEventRecord, 2000),
      FAKE("cuEventSynchronize", cuEventSynchronize, 2000),
      FAKE("cuEventElapsedTime", cuEventElapsedTime, 2000),
      FAKE("cuEventDestroy", cuEventDestroy_v2, 4000),
      FAKE("cuModuleLoadData", cuModuleLoadData, 2000),
      FAKE("cuModuleUnload", cuModuleUnload, 2000),
      FAKE("cuModuleGetFunction", cuModuleGetFunction, 2000),
      FAKE("cuLaunchKernel", cuLaunchKernel, 4000),
      FAKE("cuCheckpointProcessGetState", process_state, 12080),
      FAKE("cuCheckpointProcessGetRestoreThreadId", process_restore_thread, 12080),
      FAKE("cuCheckpointProcessLock", process_lock, 12080),
      FAKE("cuCheckpointProcessCheckpoint", process_checkpoint, 12080),
      FAKE("cuCheckpointProcessRestore", process_restore, 12080),
      FAKE("cuCheckpointProcessUnlock", process_unlock, 12080),
  };
#undef FAKE
  int have = 0;
  cuDriverGetVersion(&have);
  const auto it = symbols.find(symbol);
  const int found = it == symbols.end() || it->second.since > have ? 1 : it->second.since > version ? 2 : 0;
  if (status != nullptr) *status = found;
  *function = found == 0 ? it->second.function : nullptr;
  return found == 0 ? success : not_found;
}

}  // extern "C"
