// SPDX-License-Identifier: Apache-2.0
#pragma once
// Starting the processes behind a mount.

#include <filesystem>
#include <string>

#include "core/base/cancel.h"
#include "core/base/subprocess.h"
#include "core/imagefs/imagefs.h"
#include "core/store/digest.h"

namespace coldstart {

struct ServerStart {
  std::string program;
  int fuse_fd;
  int state_fd;     ///< see greeting.h
  int opens_fd;     ///< see open_table.h
  int presence_fd;  ///< see presence.h; -1: none
  std::filesystem::path folder;
  std::filesystem::path store_root;
  Digest image;
  MountOptions mount;
  bool die_with_us;
  std::string upgrade_failure;  ///< see ServeOptions
};

struct ShareKeeperStart {
  int tree_fd;  ///< see mount_share.h
  int fuse_fd;
  int state_fd;                  ///< of keepers before; -1: there was none
  int opens_fd;                  ///< the same
  int alive_fd;                  ///< see MountShareFds
  int presence_fd;               ///< the other end of it
  std::filesystem::path folder;  ///< STORE/mounts/KEY
  std::filesystem::path store_root;
  Digest image;
  MountOptions mount;
};

/// A process `keep-image` that outlives us, once it takes users.
Child start_share_keeper(const ShareKeeperStart& start, const CancelToken& cancel);

/// A process `serve-image`, once it answers; we are its keeper. What it could not do comes out as the Error
/// it had.
Child start_serving(const ServerStart& start, const CancelToken& cancel);

}  // namespace coldstart
