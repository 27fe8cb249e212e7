// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/mount_share.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "core/base/error.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view socket_suffix = ".socket";

}  // namespace

fs::path mount_share_folder(const fs::path& store_root, const Digest& image, const MountOptions& options) {
  // Everything that makes a difference to who reads, and the version of what is said over the socket.
  const std::string key =
      fmt::format("1 {} {} {} {} {}", image.text(), to_string(options.prefetch), options.cache_bytes,
                  options.pass_through, options.far_trace ? options.far_trace->text() : "");
  return fs::absolute(store_root) / "mounts" / Digest::of(as_bytes(key)).hex().substr(0, 16);
}

std::string mount_share_socket(uint64_t device) {
  return fmt::format("{:x}{}", device, socket_suffix);
}

std::vector<std::string> mount_share_sockets(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (const std::string name = entry.path().filename(); name.ends_with(socket_suffix))
      names.push_back(name);
  return names;
}

uint64_t device_of(int tree) {
  struct statx status {};
  // The kernel knows it without asking the server, which may be dead.
  check(::statx(tree, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &status), "cannot stat a mount");
  return uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor;
}

Fd copy_mount(const fs::path& folder) {
  Fd tree(::open_tree(AT_FDCWD, folder.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) throw Error::sys("cannot copy the mount " + folder.string());
  return tree;
}

void attach_mount(int tree, const fs::path& folder) {
  check(::move_mount(tree, "", AT_FDCWD, folder.c_str(), MOVE_MOUNT_F_EMPTY_PATH),
        "cannot mount on " + folder.string());
}

}  // namespace coldstart
