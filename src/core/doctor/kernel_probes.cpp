// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/checkpoint/host_facts.h"
#include "core/doctor/probes.h"

namespace coldstart {

namespace {

constexpr const char* least_kernel = "5.11";  // close_range(CLOSE_RANGE_CLOEXEC), pidfds, openat2

/// A userfaultfd that also gets faults of the kernel itself (a read(2) into missing memory).
Fd open_userfaultfd() {
  const int fd = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
  if (fd < 0 && errno == EPERM)
    throw Error::sys("cannot open one", "run as root, or set sysctl vm.unprivileged_userfaultfd=1");
  return Fd(check(fd, "cannot open one"));
}

}  // namespace

std::string probe_kernel() {
  utsname names{};
  check(::uname(&names), "cannot ask for the kernel's version");
  std::string found = fmt::format("Linux {} {}", names.release, names.machine);
  if (compare_versions(names.release, least_kernel) < 0)
    throw Error(found + " is too old", fmt::format("use Linux {} or newer", least_kernel));
  return found;
}

std::string probe_capability(int number) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "CapEff:") continue;
    uint64_t effective = 0;
    status >> std::hex >> effective;
    if ((effective >> number & 1) != 0) return "held";
    break;
  }
  throw Error("not held");
}

std::string probe_namespaces() {
  const std::pair<int, const char*> kinds[] = {
      {CLONE_NEWPID, "pid"}, {CLONE_NEWNS, "mount"}, {CLONE_NEWNET, "net"}};
  std::string names;
  for (const auto& [flag, name] : kinds) {
    check(::unshare(flag), fmt::format("cannot make a {} namespace", name));
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return names;
}

std::string probe_overlay() {
  check(::unshare(CLONE_NEWNS), "cannot make a mount namespace");
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "cannot make mounts private");
  const std::string at = std::filesystem::temp_directory_path();
  check(::mount("coldstart-doctor", at.c_str(), "tmpfs", 0, "size=1m"), "cannot mount a tmpfs");
  for (const char* name : {"/lower", "/upper", "/work"})
    check(::mkdir((at + name).c_str(), 0700), "cannot make a folder");
  const std::string options = fmt::format("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", at);
  check(::mount("coldstart-doctor", (at + "/lower").c_str(), "overlay", 0, options.c_str()),
        "cannot mount an overlay");
  return "mounts work";
}

std::string probe_userfaultfd() {
  const Fd uffd = open_userfaultfd();
  uffdio_api api{UFFD_API, UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE, 0};
  check(::ioctl(uffd.get(), UFFDIO_API, &api), "the kernel lacks events of fork, mremap and madvise");
  if ((api.features & UFFD_FEATURE_MINOR_SHMEM) == 0)
    return "missing pages; no minor faults on shared memory";

  // The memory of a restored process: a private mapping of a file in memory, whose pages come by CONTINUE.
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const Fd file(check(::memfd_create("coldstart-doctor", MFD_CLOEXEC), "cannot make a memfd"));
  check(::ftruncate(file.get(), static_cast<off_t>(page)), "cannot size a memfd");
  pwrite_full(file.get(), as_bytes("x"), 0);
  void* at = ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get(), 0);
  if (at == MAP_FAILED) throw Error::sys("cannot map a memfd");
  uffdio_register range{
      {reinterpret_cast<uint64_t>(at), page}, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR, 0};
  check(::ioctl(uffd.get(), UFFDIO_REGISTER, &range), "cannot register shared memory");
  uffdio_continue bring{range.range, 0, 0};
  check(::ioctl(uffd.get(), UFFDIO_CONTINUE, &bring), "cannot map a page of shared memory");
  if (*static_cast<volatile char*>(at) != 'x') throw Error("a mapped page has the wrong content");
  return "missing pages, and minor faults on shared memory";
}

std::string probe_pressure() {
  open_file("/proc/pressure/memory", O_RDONLY);
  return "memory pressure is reported";
}

}  // namespace coldstart
