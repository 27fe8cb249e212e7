// SPDX-License-Identifier: Apache-2.0
// Device memory, and copies that wait.
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_driver.h"
#include "fake_process.h"

using namespace fake;

extern "C" {

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

}  // extern "C"
