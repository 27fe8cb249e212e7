// SPDX-License-Identifier: Apache-2.0
// What is asked of the server itself, through an ioctl on the root folder of its mount: mount_stat.h,
// mount_upgrade.h.

#include <cerrno>
#include <fstream>

#include <unistd.h>

#include "core/imagefs/mount_stat.h"
#include "core/imagefs/mount_upgrade.h"
#include "core/imagefs/operations.h"

namespace coldstart {

namespace {

/// Of this process.
uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

OrderedJson ImageOperations::tell() const {
  if (parts_.origin != nullptr) {
    const ChunkOrigin::Brought brought = parts_.origin->brought();
    parts_.metrics.remote.hits = brought.chunks;
    parts_.metrics.remote.bytes = brought.bytes;
  }
  OrderedJson stat = {{"pid", ::getpid()}, {"version", COLDSTART_VERSION}, {"keeper", nullptr}};
  if (const pid_t keeper = parts_.keeper.pid(); keeper != 0) stat["keeper"] = keeper;
  if (!parts_.upgrade_failure.empty()) stat["upgrade_failure"] = parts_.upgrade_failure;
  stat.update(parts_.metrics.to_json());
  stat["disk_cache"] = {{"bytes", parts_.cache.bytes()}, {"limit", parts_.cache.limit()}};
  stat["memory_bytes"] = resident_bytes();
  return stat;
}

void ImageOperations::ioctl(fuse_req_t request, fuse_ino_t inode, unsigned command, size_t room) {
  if (inode != root_inode) throw Refusal{ENOTTY};
  if (command == mount_stat_request) {
    auto answer = std::make_unique<MountStatAnswer>();
    const std::string text = tell().dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    if (text.size() >= sizeof answer->text || room < sizeof *answer) throw Refusal{EOVERFLOW};
    std::memcpy(answer->text, text.c_str(), text.size() + 1);
    fuse_reply_ioctl(request, 0, answer.get(), sizeof *answer);
  } else if (command == mount_upgrade_request) {
    const uid_t user = fuse_req_ctx(request)->uid;
    if (user != 0 && user != ::geteuid()) throw Refusal{EPERM};
    if (!parts_.keeper.ask_upgrade()) throw Refusal{ESRCH};
    fuse_reply_ioctl(request, 0, nullptr, 0);
  } else {
    throw Refusal{ENOTTY};
  }
}

}  // namespace coldstart
