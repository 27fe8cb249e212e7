// SPDX-License-Identifier: Apache-2.0
#include "core/image/restore_metadata.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/image/path.h"

namespace coldstart {

namespace {

constexpr mode_t permission_bits = 07777;

std::array<timespec, 2> times_of(const InodeRecord& inode) {
  const timespec modified = {.tv_sec = inode.mtime, .tv_nsec = inode.mtime_ns};
  return {modified, modified};
}

/// `set(name, value)` is one of the setxattr family.
template <class Set>
void restore_xattrs(const ImageReader& image, const InodeRecord& inode, const std::string& path, Set set) {
  for (size_t i = 0; i < image.xattr_count(inode); ++i) {
    const ImageReader::Xattr x = image.xattr(inode, i);
    const std::string name(x.name);
    if (set(name.c_str(), x.value) == 0) continue;
    if (errno == ENOTSUP)
      throw Error("the file system takes no attribute " + shown(name) + ", which " + shown(path) + " has",
                  "unpack onto a file system with extended attributes, such as ext4, xfs or btrfs");
    throw unpack_error("set the attribute " + shown(name) + " of", path);
  }
}

std::string owner_of(const InodeRecord& inode) {
  return "set the owner " + std::to_string(inode.uid) + ":" + std::to_string(inode.gid) + " of";
}

}  // namespace

Error unpack_error(const std::string& doing, const std::string& path) {
  const int e = errno;
  const std::string what = "cannot " + doing + " " + shown(path);
  if (e == EPERM && ::geteuid() != 0) return Error::sys(e, what, "unpack it as root", Exit::missing);
  return Error::sys(e, what);
}

void restore_metadata(int fd, const ImageReader& image, const InodeRecord& inode, const std::string& path) {
  if (::fchown(fd, inode.uid, inode.gid) != 0) throw unpack_error(owner_of(inode), path);
  if (::fchmod(fd, inode.mode & permission_bits) != 0) throw unpack_error("set the mode of", path);
  restore_xattrs(image, inode, path, [fd](const char* name, std::string_view value) {
    return ::fsetxattr(fd, name, value.data(), value.size(), 0);
  });
  if (::futimens(fd, times_of(inode).data()) != 0) throw unpack_error("set the time of", path);
}

void restore_metadata_at(int dir, const std::string& name, const ImageReader& image, const InodeRecord& inode,
                         const std::string& path) {
  if (::fchownat(dir, name.c_str(), inode.uid, inode.gid, AT_SYMLINK_NOFOLLOW) != 0)
    throw unpack_error(owner_of(inode), path);
  if (!S_ISLNK(inode.mode)) {
    // chmod(2) follows links; a descriptor that stands for the name does not.
    const Fd node(::openat(dir, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!node) throw unpack_error("open", path);
    const std::string door = "/proc/self/fd/" + std::to_string(node.get());
    if (::chmod(door.c_str(), inode.mode & permission_bits) != 0) throw unpack_error("set the mode of", path);
  }
  const std::string door = "/proc/self/fd/" + std::to_string(dir) + "/" + name;
  restore_xattrs(image, inode, path, [&door](const char* key, std::string_view value) {
    return ::lsetxattr(door.c_str(), key, value.data(), value.size(), 0);
  });
  if (::utimensat(dir, name.c_str(), times_of(inode).data(), AT_SYMLINK_NOFOLLOW) != 0)
    throw unpack_error("set the time of", path);
}

}  // namespace coldstart
