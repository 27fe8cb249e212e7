// SPDX-License-Identifier: Apache-2.0
// FUSE, tried by mounting one and answering the kernel's first request by hand.
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fuse.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/doctor/probes.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

// Newer than the headers of Debian 12 (linux/fuse.h 7.40).
constexpr uint32_t passthrough_flag2 = 1U << 5;
struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
constexpr unsigned long backing_open = _IOW(229, 1, BackingMap);

struct Greeting {
  Fd fuse;  // of a mount in our own namespace: it goes with us
  uint32_t major, minor, flags2;
};

Greeting mount_and_greet() {
  Greeting greeting{open_file("/dev/fuse", O_RDWR), 0, 0, 0};
  check(::unshare(CLONE_NEWNS), "cannot make a mount namespace");
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "cannot make mounts private");
  const std::string options = fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", greeting.fuse.get());
  check(::mount("coldstart-doctor", fs::temp_directory_path().c_str(), "fuse", MS_NODEV | MS_NOSUID,
                options.c_str()),
        "cannot mount a FUSE file system");

  alignas(fuse_in_header) std::byte request[FUSE_MIN_READ_BUFFER];
  const ssize_t size = check(::read(greeting.fuse.get(), request, sizeof request), "cannot read /dev/fuse");
  const auto header = load<fuse_in_header>(request);
  if (header.opcode != FUSE_INIT || static_cast<size_t>(size) < sizeof header + 16)
    throw Error("the kernel does not greet as expected");
  const auto init = load<fuse_init_in>(request + sizeof header);  // zeros where it is shorter
  greeting.major = init.major;
  greeting.minor = init.minor;
  greeting.flags2 = (init.flags & FUSE_INIT_EXT) != 0 ? init.flags2 : 0;

  struct {
    fuse_out_header header;
    fuse_init_out init;
  } reply{};
  reply.header = {sizeof reply, 0, header.unique};
  reply.init.major = FUSE_KERNEL_VERSION;
  reply.init.minor = init.minor;
  reply.init.max_write = 4096;
  if ((greeting.flags2 & passthrough_flag2) != 0) {
    reply.init.flags = FUSE_INIT_EXT;
    reply.init.flags2 = passthrough_flag2;
    reply.init.unused[0] = 1;  // max_stack_depth, in newer headers
  }
  check(::write(greeting.fuse.get(), &reply, sizeof reply), "cannot answer the kernel");
  return greeting;
}

std::string fuse_for_users() {
  open_file("/dev/fuse", O_RDWR);
  for (const char* helper : {"/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3"})
    if (::access(helper, X_OK) == 0) return fmt::format("by {}", helper);
  throw Error::missing("fusermount3 is missing", "install the package fuse3");
}

}  // namespace

std::string probe_fuse() {
  if (::geteuid() != 0) return fuse_for_users();
  const Greeting greeting = mount_and_greet();
  return fmt::format("mounts work, protocol {}.{}", greeting.major, greeting.minor);
}

std::string probe_passthrough(const fs::path& folder) {
  if (::geteuid() != 0) throw Error("only root may use it");
  fs::path there = fs::absolute(folder);
  std::error_code failed;
  while (!fs::is_directory(there, failed) && there.has_relative_path()) there = there.parent_path();
  const Fd file = open_file(there, O_TMPFILE | O_RDWR);
  const Greeting greeting = mount_and_greet();
  if ((greeting.flags2 & passthrough_flag2) == 0)
    throw Error("this kernel has none", "use Linux 6.9 or newer, built with CONFIG_FUSE_PASSTHROUGH");
  const BackingMap map{file.get(), 0, 0};
  if (::ioctl(greeting.fuse.get(), backing_open, &map) < 0) {
    if (errno == ELOOP)
      throw Error("the store's file system is itself stacked (an overlay)", "put the store on a disk");
    throw Error::sys(fmt::format("cannot pass reads through to {}", there.string()));
  }
  return fmt::format("reads pass through to {}", there.string());
}

}  // namespace coldstart
