// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/checkpoint/host_facts.h"
#include "core/doctor/probes.h"
#include "core/memory/host_support.h"

namespace coldstart {

namespace {

constexpr const char* least_kernel = "5.11";  // close_range(CLOSE_RANGE_CLOEXEC), pidfds, openat2

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
  require_userfaultfd();
  try {
    require_shared_faults();
  } catch (const Error& e) {
    return "missing pages; no shared memory: " + e.message();
  }
  return "missing pages, and minor faults on shared memory";
}

std::string probe_pressure() {
  open_file("/proc/pressure/memory", O_RDONLY);
  return "memory pressure is reported";
}

}  // namespace coldstart
