// SPDX-License-Identifier: Apache-2.0
#pragma once
// The process that keeps a mount served: `coldstart keep-image`, started by whoever mounts.
//
//   mounter ──► keeper ──► server      all three have the mount's /dev/fuse open
//               (state) ──►            in memory: what was agreed with the kernel (greeting.h), how files are
//                                      open (open_table.h)
//
// The server does all the work and may die of it, of the OOM killer, or of an operator: the keeper, which
// does nothing but wait, starts another one on the same descriptor. Readers wait a little; no request is
// lost.
//
// It gives up when servers die one after the other without living for a second (a request that always kills
// its server), and on kernels before 6.9, which cannot hand out again what the dead server had taken: its
// readers would wait for ever. When nobody has the descriptor open any more they get ENOTCONN.

#include <chrono>
#include <filesystem>
#include <functional>

#include "core/base/cancel.h"
#include "core/base/fd.h"
#include "core/imagefs/imagefs.h"
#include "core/store/digest.h"

namespace coldstart {

struct KeepOptions {
  int fuse_fd = -1;
  int presence_fd = -1;              ///< for the servers to hold (presence.h); -1: none
  std::filesystem::path folder;      ///< where it is mounted
  std::filesystem::path store_root;  ///< absolute
  Digest image;
  MountOptions mount;
  bool die_together = false;  ///< the server ends with us, whatever ends us; else it serves on alone
  /// STORE/mounts/KEY: the mount is shared (mount_share.h), and goes once nobody uses it; empty: it is not.
  std::filesystem::path share;
  std::chrono::milliseconds linger{0};  ///< how long a shared one stays without a user
  int state_fd = -1;                    ///< of a keeper that died (greeting.h); -1: there was none
  int opens_fd = -1;                    ///< the same (open_table.h)
  int alive_fd = -1;                    ///< for the users: readable once we and our server have ended
};

/// Serves until the mount is gone; calls `ready` once it is usable. Cancelled: unmounts, and ends the server.
/// `hangups`, a signalfd of SIGHUP: the server ends what it has begun, and one from the program file of our
/// name as it is now takes over, so that an upgrade needs no new mount; if that one cannot, our own program
/// serves on. Throws Error if the first server does not start, or when it gives up.
void keep_image(const KeepOptions& options, int hangups, const CancelToken& cancel,
                const std::function<void()>& ready);

}  // namespace coldstart
