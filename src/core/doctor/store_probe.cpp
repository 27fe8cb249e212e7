// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/doctor/probes.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t little_space = uint64_t{1} << 30;

std::string name_of(const struct statfs& system) {
  switch (static_cast<unsigned long>(system.f_type)) {
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case 0x58465342:
      return "xfs";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case 0x2fc12fc1:
      return "zfs";
    case F2FS_SUPER_MAGIC:
      return "f2fs";
    case TMPFS_MAGIC:
      return "tmpfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlay";
    case NFS_SUPER_MAGIC:
      return "nfs";
    case FUSE_SUPER_MAGIC:
      return "fuse";
    default:
      return fmt::format("file system {:#x}", system.f_type);
  }
}

}  // namespace

std::string probe_store(const fs::path& root) {
  fs::path there = fs::absolute(root);
  std::error_code failed;
  while (!fs::exists(there, failed) && there.has_relative_path()) there = there.parent_path();
  const std::string choose = "choose another folder by --store or COLDSTART_STORE";
  if (!fs::is_directory(there, failed)) throw Error(there.string() + " is not a folder", choose);
  if (::faccessat(AT_FDCWD, there.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) != 0)
    throw Error::sys("cannot write to " + there.string(), choose);

  struct statfs system {};
  check(::statfs(there.c_str(), &system), "cannot look at " + there.string());
  const uint64_t free = system.f_bavail * static_cast<uint64_t>(system.f_bsize);
  std::string found = fmt::format("{} on {}, {:.1f} GB free{}", root.string(), name_of(system),
                                  static_cast<double>(free) / 1e9, there == root ? "" : ", not made yet");
  if (free < little_space) throw Error(found + ", which is too little", choose + ", or 'coldstart store gc'");
  return found;
}

}  // namespace coldstart
