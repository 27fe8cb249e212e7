// SPDX-License-Identifier: Apache-2.0
// CRIU asks the kernel for some forty features at each start, which takes longer than the rest of its start,
// unless it finds what it found before in /run/criu.kdat. It keeps that file only where /run is a tmpfs,
// which inside an image it is not. So we let it find out once a boot, on a tmpfs that only it sees, and keep
// the file.

#include <exception>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/checkpoint/criu.h"
#include "core/checkpoint/criu_worker.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t facts_limit = 1 << 16;

/// In a mount namespace of this thread only; its end is the end of the mount.
Bytes find_out(const CriuProgram& criu, const fs::path& folder) {
  check(::unshare(CLONE_NEWNS), "cannot make a mount namespace");
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "cannot make mounts private");
  check(::mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m"), "cannot mount a tmpfs on /run");
  CriuOptions options;
  options.images = folder;
  options.log = folder / "criu-kernel.log";
  CriuWorker worker(
      criu, options,
      [](const ProgramSpec& spec) {
        SpawnOptions spawn;
        spawn.argv = spec.argv;
        spawn.environment = spec.environment;
        spawn.fds = spec.fds;
        return Child(spawn);
      },
      {}, 0);
  criu::Request request;
  request.set_type(criu::FEATURE_CHECK);
  request.mutable_features()->set_lazy_pages(true);
  worker.send(request);
  if (!worker.receive(nullptr).success()) throw worker.failure("CRIU cannot look at the kernel");
  worker.finish();
  return read_file("/run/criu.kdat", facts_limit);
}

std::string boot_id() {
  std::string id = read_text("/proc/sys/kernel/random/boot_id", 128);
  id.resize(id.find_last_not_of('\n') + 1);
  return id;
}

}  // namespace

Bytes criu_kernel_facts(const CriuProgram& criu, const fs::path& folder) {
  const std::string prefix = "criu-kernel-";
  const fs::path kept = folder / fmt::format("{}{}-{}", prefix, criu.version(), boot_id());
  if (fs::exists(kept)) return read_file(kept, facts_limit);
  Bytes facts;
  std::exception_ptr failed;
  std::thread([&] {
    try {
      facts = find_out(criu, folder);
    } catch (...) {
      failed = std::current_exception();
    }
  }).join();
  if (failed) std::rethrow_exception(failed);
  for (const auto& entry : fs::directory_iterator(folder))  // of boots that are over
    if (entry.path().filename().string().starts_with(prefix)) fs::remove(entry.path());
  write_file_atomic(kept, facts);
  return facts;
}

}  // namespace coldstart
