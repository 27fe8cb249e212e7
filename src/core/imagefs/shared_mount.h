// SPDX-License-Identifier: Apache-2.0
#pragma once
// A mount of an image that all who want it on this host share: the user's side (mount_share.h tells of the
// whole).

#include <filesystem>
#include <mutex>
#include <string>
#include <thread>

#include "core/base/cancel.h"
#include "core/base/fd.h"
#include "core/base/subprocess.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/mount_share.h"

namespace coldstart {

/// One use of a shared mount. Destroyed: it is unmounted here; if that ends the mount, the processes behind
/// it have ended, too.
class SharedMount {
 public:
  /// Puts `image` on `folder`, which must exist and be empty: of a mount that there is, or of one made for us
  /// and all who come after. As root, in a mount namespace of our own. Throws Error as FuseMount and
  /// start_image_server() do, and where the kernel is too old (5.2).
  SharedMount(std::filesystem::path folder, const std::filesystem::path& store_root, const Digest& image,
              const MountOptions& options, const CancelToken& cancel);
  SharedMount(const SharedMount&) = delete;
  SharedMount& operator=(const SharedMount&) = delete;
  ~SharedMount();

  /// Absolute.
  const std::filesystem::path& folder() const { return folder_; }
  /// From now on a thread of ours sees to it that the mount has a keeper.
  void watch();
  /// Readable for ever once nobody serves the mount any more, and nobody can: readers get an error. For
  /// poll(2).
  int lost_fd() const { return lost_.fd(); }
  /// Why; to be asked once it is lost.
  std::string why_lost() const;

 private:
  bool join(const CancelToken& cancel);
  void make(const CancelToken& cancel);
  void start_keeper(int fuse, Fd tree, const CancelToken& cancel);
  void keep_kept();
  void replace_keeper();
  void leave() noexcept;

  const std::filesystem::path folder_;
  const std::filesystem::path store_root_;
  const Digest image_;
  const MountOptions options_;
  const std::filesystem::path share_;  // STORE/mounts/KEY
  MountShareFds held_;                 // `tree` only until it is attached; none once it is lost
  uint64_t device_ = 0;
  Fd connection_;
  Child keeper_;  // if we started it: it is not killed, but reaped
  bool attached_ = false;

  CancelToken stop_;
  CancelToken lost_;
  mutable std::mutex mutex_;  // guards why_lost_
  std::string why_lost_;
  std::jthread watcher_;  // from watch() on the only one to use what is not const above
};

/// Has mounts of the store that nobody uses end now rather than after a while; waits until they have.
void dismiss_shared_mounts(const std::filesystem::path& store_root);

}  // namespace coldstart
