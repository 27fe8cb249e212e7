// SPDX-License-Identifier: Apache-2.0
#pragma once
// Those who use a shared mount, as its keeper knows them (mount_share.h).

#include <chrono>
#include <filesystem>
#include <map>
#include <string>

#include "core/base/fd.h"
#include "core/imagefs/mount_share.h"

namespace coldstart {

/// One thread.
class MountUsers {
 public:
  /// `folder`: STORE/mounts/KEY, whose lock whoever started us holds, with the mount on folder/image.
  /// `given`: what users get, all but `tree`. After the last user `linger` passes, and after our start
  /// `linger` or a few seconds, until it is over.
  MountUsers(std::filesystem::path folder, MountShareFds given, std::chrono::milliseconds linger);
  MountUsers(const MountUsers&) = delete;
  MountUsers& operator=(const MountUsers&) = delete;

  /// Readable when serve() has something to do: for poll(2).
  int fd() const { return epoll_.get(); }
  /// Takes new users in, answers them, and sees who is gone. Never waits. True once it is over: nobody uses
  /// the mount, or will.
  bool serve();
  /// Tells all that nobody will serve the mount any more.
  void give_up();

 private:
  void watch(int fd);
  void accept_all();
  void hear(int fd);
  void set_timer(std::chrono::milliseconds after);
  bool nobody_comes();

  const std::filesystem::path folder_;
  const MountShareFds given_;
  const std::chrono::milliseconds linger_;
  std::filesystem::path socket_;  // empty: removed, so nobody comes any more
  Fd listener_;
  Fd timer_;
  Fd epoll_;
  std::map<int, Fd> users_;
  std::map<int, Fd> leaving_;  // who wait for our end
};

}  // namespace coldstart
