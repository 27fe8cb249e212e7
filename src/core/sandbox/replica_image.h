// SPDX-License-Identifier: Apache-2.0
#pragma once
// The mounted image below a replica's root: a mount that all replicas of the host share, or one of its own.

#include <filesystem>
#include <optional>
#include <string>

#include "core/base/cancel.h"
#include "core/base/subprocess.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/shared_mount.h"

namespace coldstart {

/// Destroyed: unmounted, and what served it alone has ended.
class ReplicaImage {
 public:
  /// Mounts `image` on `folder`, which must exist and be empty. A mount that records what is read is the
  /// replica's own. As root, in a mount namespace of our own.
  ReplicaImage(const std::filesystem::path& folder, const std::filesystem::path& store, const Digest& image,
               const MountOptions& options, const CancelToken& cancel);

  const std::filesystem::path& folder() const { return shared_ ? shared_->folder() : own_->folder(); }
  /// To be called once, as soon as this process may have threads.
  void watch();
  /// Readable for ever once nobody serves the image any more: for poll(2).
  int lost_fd() const { return shared_ ? shared_->lost_fd() : server_.pidfd(); }
  /// Once it is lost: from now on readers get an error rather than wait for ever. Gives the reason.
  std::string lose();

 private:
  std::optional<SharedMount> shared_;
  std::optional<FuseMount> own_;
  Child server_;  // of the own one
};

}  // namespace coldstart
