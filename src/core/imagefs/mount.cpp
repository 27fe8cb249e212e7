// SPDX-License-Identifier: Apache-2.0
// Making the mount: /dev/fuse and mount(2) where we may, fusermount3 else.

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd_passing.h"
#include "core/base/log.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/mount_table.h"
#include "core/imagefs/presence.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr const char* no_fuse_hint =
    "load it with 'modprobe fuse'; a container needs --device /dev/fuse and --cap-add SYS_ADMIN";

/// Absolute and without symlinks; refused unless it is an empty folder.
fs::path checked_mountpoint(const fs::path& folder) {
  const std::string unmount = "coldstart umount " + folder.string();
  const auto refuse = [&](const std::string& why, const std::string& hint = {}) {
    throw Error::usage("cannot mount on " + folder.string() + ": " + why, hint);
  };
  std::error_code error;
  const auto fail_on_error = [&] {
    if (error.value() == ENOTCONN) refuse("an image is mounted there whose server is dead", unmount);
    if (error) refuse(error.message());
  };
  fs::path path = fs::canonical(folder, error);
  fail_on_error();
  const bool is_folder = fs::is_directory(path, error);
  fail_on_error();
  if (!is_folder) refuse("it is not a folder");
  if (is_image_mount(path)) refuse("an image is mounted there", unmount);
  const bool empty = fs::is_empty(path, error);
  fail_on_error();
  if (!empty) refuse("it is not empty");
  return path;
}

Fd open_fuse_device() {
  Fd fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fd) throw Error::sys("cannot use FUSE: /dev/fuse", no_fuse_hint, Exit::missing);
  return fd;
}

Fd mount_as_root(const fs::path& folder, const std::string& source) {
  Fd fd = open_fuse_device();
  const std::string options =
      "fd=" + std::to_string(fd.get()) +
      ",rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=" +
      std::to_string(max_read_bytes);
  if (::mount(source.c_str(), folder.c_str(), image_fs_type, MS_NOSUID | MS_NODEV | MS_RDONLY | MS_NOATIME,
              options.c_str()) == 0)
    return fd;
  const bool not_allowed = errno == EPERM || errno == EACCES || errno == ENODEV;
  throw Error::sys("cannot mount on " + folder.string(), not_allowed ? no_fuse_hint : "",
                   not_allowed ? Exit::missing : Exit::failed);
}

/// fusermount3 sends the descriptor of the mount it made over the socket that _FUSE_COMMFD names.
Fd mount_as_user(const fs::path& folder, const std::string& source) {
  open_fuse_device();  // for its error, which says more than fusermount3 does
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "cannot make a socket pair");
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  SpawnOptions spawn;
  spawn.argv = {"env",
                "_FUSE_COMMFD=3",
                "fusermount3",
                "-o",
                "ro,nosuid,nodev,noatime,default_permissions,subtype=coldstart,fsname=" + source,
                "--",
                folder.string()};
  spawn.fds = {{theirs.get(), 3}};
  Child helper(spawn);
  theirs.reset();
  std::byte byte{};
  Received mounted = receive_fds(ours.get(), std::span(&byte, 1));
  const ExitState end = helper.wait();
  if (mounted.fds.empty() || !end.ok())
    throw Error::missing("fusermount3 could not mount on " + folder.string(),
                         "install the package fuse3, or mount as root");
  return std::move(mounted.fds.front());
}

}  // namespace

FuseMount::FuseMount(const fs::path& folder, const std::string& source) {
  const fs::path path = checked_mountpoint(folder);
  presence_ = enter_presence(path);
  fd_ = ::geteuid() == 0 ? mount_as_root(path, source) : mount_as_user(path, source);
  folder_ = path;
}

FuseMount::~FuseMount() {
  if (folder_.empty()) return;
  try {
    detach_mount(folder_);
  } catch (const Error&) {
    // Somebody else unmounted it meanwhile: what was wanted.
  }
  fd_.reset();
  presence_.reset();
  try {
    if (!await_absence(folder_, time_to_leave))
      log::warn("{} is unmounted, but the processes behind it have not ended", folder_.string());
  } catch (const Error& e) {
    log::warn("{}", e.what());
  }
}

}  // namespace coldstart
