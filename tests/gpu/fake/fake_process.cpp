// SPDX-License-Identifier: Apache-2.0
#include "fake_process.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake_faults.h"

namespace fake {

Process& self() {
  static auto* process = new Process;  // outlives every thread
  return *process;
}

int make_vram(const Gpu& gpu, size_t bytes, std::string& path) {
  if (gpu.used() + bytes > gpu.total) return -1;
  const std::string vram = folder() + "/vram";
  ::mkdir(vram.c_str(), 0777);
  path = vram + "/" + gpu.uuid;
  ::mkdir(path.c_str(), 0777);
  path += "/XXXXXX";
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0 || ::flock(fd, LOCK_EX) != 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) return -1;
  return fd;
}

void* map_vram(int fd, void* at, size_t bytes) {
  return ::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (at != nullptr ? MAP_FIXED : 0), fd, 0);
}

namespace {

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
  process.page->state = checkpointed;
  return success;
}

/// Bytes of a host copy.
struct Found {
  size_t own = 0;   // in pages that can be written to without a fault
  size_t huge = 0;  // in huge pages; of the whole mapping
};
Found look_at(const std::vector<uint8_t>& copy) {
  constexpr size_t page_bytes = 4096;
  constexpr uint64_t present = uint64_t{1} << 63, of_file = uint64_t{1} << 61,
                     mapped_once = uint64_t{1} << 56;
  const int pages = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  const auto start = reinterpret_cast<uintptr_t>(copy.data());
  Found found;
  for (uintptr_t at = start; at < start + copy.size(); at = (at / page_bytes + 1) * page_bytes) {
    uint64_t entry = 0;
    if (::pread(pages, &entry, sizeof entry, static_cast<off_t>(at / page_bytes * sizeof entry)) ==
            sizeof entry &&
        (entry & (present | of_file | mapped_once)) == (present | mapped_once))
      found.own += std::min((at / page_bytes + 1) * page_bytes, start + copy.size()) - at;
  }
  ::close(pages);
  std::ifstream maps("/proc/self/smaps");
  uintptr_t low = 0, high = 0;
  for (std::string line; std::getline(maps, line);) {
    unsigned long first = 0, end = 0, kilobytes = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &first, &end) == 2) low = first, high = end;
    if (low <= start && start < high && std::sscanf(line.c_str(), "AnonHugePages: %lu", &kilobytes) == 1)
      found.huge = kilobytes << 10;
  }
  return found;
}

/// As the real driver: page by page, for writing, in this one thread. Gives the microseconds that it took.
int64_t pin(std::vector<uint8_t>& copy) {
  const auto start = std::chrono::steady_clock::now();
  for (size_t at = 0; at < copy.size(); at += 4096) {
    auto* byte = const_cast<volatile uint8_t*>(&copy[at]);
    *byte = *byte;
  }
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start)
      .count();
}

CUresult do_restore(Process& process) {
  Page& page = *process.page;
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
  for (const Gpu& gpu : gpus()) {
    uint8_t uuid[16];
    parse_uuid(gpu.uuid, uuid);
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
    const Found copy = look_at(a.saved);
    append_line("host_copies", std::to_string(a.saved.size()) + " " + std::to_string(copy.own) + " " +
                                   std::to_string(copy.huge) + " " + std::to_string(pin(a.saved)) + "\n");
    std::memcpy(mapped, a.saved.data(), a.bytes);
    a.saved = {};
  }
  std::memcpy(page.device, target, 16);
  page.state = locked;
  return success;
}

CUresult do_lock(Page& page) {
  page.state = locked;
  for (unsigned waited = 0; page.in_flight != 0; ++waited) {
    if (page.argument != 0 && waited >= page.argument) {
      page.state = running;
      futex(page.state, FUTEX_WAKE, INT_MAX, UINT_MAX);
      return not_ready;
    }
    ::usleep(1000);
  }
  return success;
}

/// The thread that does what others ask of this process.
void* restore_thread(void*) {
  Process& process = self();
  Page& page = *process.page;
  __atomic_store_n(&page.restore_tid, static_cast<int32_t>(::syscall(SYS_gettid)), __ATOMIC_RELEASE);
  for (;;) {
    const uint32_t request = page.request;
    if (request == page.done) {
      futex(page.request, FUTEX_WAIT, request, 1000);
      continue;
    }
    switch (page.operation) {
      case op_lock:
        page.result = do_lock(page);
        break;
      case op_checkpoint:
        page.result = do_checkpoint(process);
        break;
      case op_restore:
        page.result = do_restore(process);
        break;
      default:
        page.state = running;
        page.result = success;
    }
    page.done = request;
    futex(page.done, FUTEX_WAKE, INT_MAX, UINT_MAX);
    futex(page.state, FUTEX_WAKE, INT_MAX, UINT_MAX);
  }
}

}  // namespace

CUresult become_cuda_process() {
  static std::mutex once;
  const std::lock_guard lock(once);
  Process& process = self();
  if (process.page != nullptr) return success;
  const int fd = ::memfd_create(memfd_name, MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, sizeof(Page)) != 0) return os;
  void* at = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return os;
  process.gpu = gpus().front();
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"); visible != nullptr)
    for (const Gpu& gpu : gpus())
      if (gpu.uuid == visible) process.gpu = gpu;
  auto* page = new (at) Page;
  page->pid = ::getpid();
  parse_uuid(process.gpu.uuid, page->device);
  process.page = page;
  page->magic = magic;
  pthread_t thread{};
  if (::pthread_create(&thread, nullptr, restore_thread, nullptr) != 0) return os;
  ::pthread_detach(thread);
  while (__atomic_load_n(&page->restore_tid, __ATOMIC_ACQUIRE) == 0) ::usleep(100);
  return success;
}

}  // namespace fake
