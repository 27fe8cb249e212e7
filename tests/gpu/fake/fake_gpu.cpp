// SPDX-License-Identifier: Apache-2.0
#include "fake_gpu.h"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fake {

namespace fs = std::filesystem;

std::string folder() {
  const char* set = std::getenv("COLDSTART_FAKE_GPU");
  if (set == nullptr) {
    std::fputs("the fake NVIDIA driver needs COLDSTART_FAKE_GPU, a folder\n", stderr);
    std::abort();
  }
  return set;
}

std::string text_of(const std::string& name, const std::string& otherwise) {
  std::ifstream in(folder() + "/" + name);
  std::string line;
  return std::getline(in, line) ? line : otherwise;
}

std::vector<Gpu> gpus() {
  std::vector<Gpu> result;
  std::ifstream in(folder() + "/gpus");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    Gpu gpu;
    uint64_t mib = 0;
    words >> gpu.uuid >> mib >> gpu.mig >> gpu.ecc >> gpu.temperature >> gpu.throttle >> std::ws;
    std::getline(words, gpu.name);
    gpu.total = mib << 20;
    result.push_back(gpu);
  }
  if (result.empty())
    result.push_back(
        {"GPU-fa4e0000-0000-0000-0000-000000000001", uint64_t{1024} << 20, false, 0, 40, 0, "Fake H100"});
  return result;
}

uint64_t Gpu::used() const {
  uint64_t sum = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder() + "/vram/" + uuid, none)) {
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat st {};
    // One that is being made is empty until it is locked.
    if (::fstat(fd, &st) == 0 && st.st_size > 0) {
      if (::flock(fd, LOCK_EX | LOCK_NB) == 0)
        ::unlink(entry.path().c_str());  // its process is dead
      else
        sum += static_cast<uint64_t>(st.st_size);
    }
    ::close(fd);
  }
  return sum;
}

void parse_uuid(const std::string& text, uint8_t* into) {
  size_t nibble = 0;
  std::memset(into, 0, 16);
  for (const char c : text.substr(text.starts_with("GPU-") ? 4 : 0)) {
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value < 0 || nibble >= 32) continue;
    into[nibble / 2] = static_cast<uint8_t>(into[nibble / 2] | (nibble % 2 == 0 ? value << 4 : value));
    ++nibble;
  }
}

pid_t inner_pid(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("NSpid:")) return std::atoi(line.c_str() + line.find_last_of(" \t") + 1);
  return 0;
}

PageOf::PageOf(pid_t pid) {
  std::error_code none;
  const std::string wanted = std::string("/memfd:") + memfd_name;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", none)) {
    std::error_code gone;
    if (!fs::read_symlink(entry.path(), gone).string().starts_with(wanted)) continue;
    const int fd = ::open(entry.path().c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    void* at = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (at == MAP_FAILED) continue;
    page_ = static_cast<Page*>(at);
    if (page_->magic == magic && page_->pid == inner_pid(pid)) return;
    ::munmap(at, sizeof(Page));
    page_ = nullptr;
  }
}

PageOf::~PageOf() {
  if (page_ != nullptr) ::munmap(page_, sizeof(Page));
}

std::vector<pid_t> cuda_processes() {
  std::vector<pid_t> result;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/proc", none)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && PageOf(pid).get() != nullptr) result.push_back(pid);
  }
  return result;
}

long futex(std::atomic<uint32_t>& word, int operation, uint32_t value, unsigned ms) {
  const timespec limit{ms / 1000, static_cast<long>(ms % 1000) * 1000000};
  return ::syscall(SYS_futex, &word, operation, value, ms == UINT_MAX ? nullptr : &limit, nullptr, 0);
}

}  // namespace fake
