// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/mount_upgrade.h"

#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <poll.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/imagefs/mount_stat.h"

namespace coldstart {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr auto pause = 20ms;
/// What the old server has begun may have to come from far away.
constexpr auto longest_change = 60s;

MountServer server_in(const OrderedJson& stat) {
  const std::string document = "the image server's answer";
  // Servers have not always told their version.
  return {field<int>(stat, "pid", document), stat.value("version", "of before")};
}

void ask(const fs::path& folder) {
  const Fd root(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (root && ::ioctl(root.get(), mount_upgrade_request) == 0) return;
  const int error = errno;
  const std::string remount = "unmount " + folder.string() + ", and mount again";
  if (error == ESRCH)
    throw Error("the keeper of " + folder.string() + " is dead: nobody can replace its server", remount);
  if (error == ENOTTY)
    throw Error("the server of " + folder.string() + " is too old to be asked for an upgrade", remount);
  throw Error::sys(error, "cannot ask the server of " + folder.string() + " for an upgrade",
                   error == EPERM ? "only root and the user who has mounted may" : "");
}

}  // namespace

MountUpgrade upgrade_mount(const fs::path& folder, const CancelToken& cancel) {
  MountUpgrade result;
  result.before = server_in(mount_stat(folder));
  ask(folder);
  const auto deadline = std::chrono::steady_clock::now() + longest_change;
  for (;;) {
    const OrderedJson stat = mount_stat(folder);
    result.now = server_in(stat);
    if (result.now.pid != result.before.pid) {
      if (stat.contains("upgrade_failure"))
        throw Error(field<std::string>(stat, "upgrade_failure", "the image server's answer"),
                    "the program that served before serves on");
      return result;
    }
    if (std::chrono::steady_clock::now() >= deadline)
      throw Error("the server of " + folder.string() + " has not given way to another one",
                  "it may be waiting for a remote; see its log, logs/image-server.log in the store");
    pollfd p{cancel.fd(), POLLIN, 0};
    ::poll(&p, 1, static_cast<int>(pause.count()));
    cancel.check();
  }
}

}  // namespace coldstart
