// SPDX-License-Identifier: Apache-2.0
#include "core/base/memory_folder.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

std::optional<MemoryFolder> MemoryFolder::make() {
  const Fd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  // The size is the caller's affair: it knows what it is about to write.
  if (!context || ::fsconfig(context.get(), FSCONFIG_SET_STRING, "size", "0", 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    log::debug("{}", Error::sys("cannot make a folder in memory").message());
    return std::nullopt;
  }
  Fd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  if (!mount || ::mkdirat(mount.get(), "files", 0700) != 0) {
    log::debug("{}", Error::sys("cannot make a folder in memory").message());
    return std::nullopt;
  }
  return MemoryFolder(std::move(mount));
}

MemoryFolder::MemoryFolder(Fd mount)
    : mount_(std::move(mount)), path_("/proc/self/fd/" + std::to_string(mount_.get()) + "/files") {}

}  // namespace coldstart
