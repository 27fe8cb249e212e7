// SPDX-License-Identifier: Apache-2.0
#pragma once
// An image as a read-only FUSE file system.
//
// Three roles, of three processes: who *mounts* opens /dev/fuse; who *serves* answers the kernel's requests
// on that descriptor; who *keeps* replaces a server that died under the living mount (keeper.h).

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "core/base/cancel.h"
#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/subprocess.h"
#include "core/image/reader.h"
#include "core/image/trace.h"
#include "core/imagefs/prefetch.h"
#include "core/store/store.h"

namespace coldstart {

/// A FUSE mount point without a server yet. Unless released it is unmounted (lazily) when destroyed, which
/// waits a while for the processes behind it to end. Move-only.
class FuseMount {
 public:
  /// Mounts on `folder`, which must exist and be empty; as root by mount(2), else by fusermount3.
  /// `source` is what mountinfo shows. Throws Error: exit 6 if FUSE is not to be had here, 2 if `folder`
  /// will not do.
  FuseMount(const std::filesystem::path& folder, const std::string& source);
  FuseMount(FuseMount&& other) noexcept
      : folder_(std::exchange(other.folder_, {})),
        presence_(std::move(other.presence_)),
        fd_(std::move(other.fd_)) {}
  FuseMount& operator=(FuseMount&&) = delete;
  ~FuseMount();
  int fd() const { return fd_.get(); }
  /// For all who stand behind the mount to hold until they end (presence.h); -1: none.
  int presence_fd() const { return presence_.get(); }
  /// Absolute, symlinks followed.
  const std::filesystem::path& folder() const { return folder_; }
  /// The mount stays after us.
  void release() { folder_.clear(); }

 private:
  std::filesystem::path folder_;  // empty: not ours to unmount
  Fd presence_;
  Fd fd_;
};

/// What the one who mounts may choose.
struct MountOptions {
  Prefetch prefetch = Prefetch::opened;
  uint64_t cache_bytes = 0;  ///< on disk, for all mounts of the store; 0: a quarter of the file system
  /// Where to write what is read (core/image/trace.h), absolute; empty: nowhere. Nothing is passed through
  /// meanwhile.
  std::filesystem::path record;
  /// A chunk, the text of an access trace: fetched ahead instead of the image's own where the image is not
  /// here.
  std::optional<Digest> far_trace;
  /// Complete files are read and mapped by the kernel itself (passthrough.h). Not for what CRIU may dump: it
  /// finds such a mapping in a mount that the process does not have.
  bool pass_through = true;
};

struct ServeOptions {
  std::filesystem::path folder;  ///< where it is mounted
  MountOptions mount;
  AccessTrace trace;       ///< to be fetched ahead
  AccessTrace far_trace;   ///< instead of it, if there is one and the image is not here
  ImageManifest manifest;  ///< the image's
  unsigned threads = 8;
  size_t memory_bytes = size_t{32} << 20;  ///< of decompressed chunks
  /// Becomes readable when the server must end although the mount is still there; -1: never.
  int stop_fd = -1;
  /// Memory file with what the servers of this mount before us agreed on with the kernel (greeting.h); -1:
  /// none.
  int state_fd = -1;
  /// Memory file with how they left files open (open_table.h); -1: none.
  int opens_fd = -1;
  pid_t keeper = 0;  ///< our parent, if it is one
  /// Why the program that should have taken over does not; empty: none was asked for, or it does.
  std::string upgrade_failure;
  /// Called when the mount is gone, while work that nobody waits for any more may still be under way.
  std::function<void()> gone;
};

/// Answers requests until the mount is gone or `stop_fd` says so; what was begun then is answered first.
/// Calls `ready` once the mount is usable: the kernel has been greeted, or, if an earlier server has been,
/// what that one left unanswered has been asked for again. What goes wrong while serving is logged
/// (core/base/log.h), and the reader gets EIO. The calling process must leave SIGUSR1 alone: it wakes the
/// serving threads.
void serve_image(int fuse_fd, Store& store, const ImageReader& image, const ServeOptions& options,
                 const std::function<void()>& ready);

/// Starts a process of this same program (`coldstart keep-image`) that keeps `image` served on `mount`, and
/// waits until it is. It has no descriptor of ours, logs to image_server_log(), holds a lease of the image,
/// and ends with the mount, or with us if `die_with_us`. What it could not do comes out as the Error it had.
Child start_image_server(const FuseMount& mount, const std::filesystem::path& store_root, const Digest& image,
                         const CancelToken& cancel, bool die_with_us, const MountOptions& options = {});
/// The other side of it: tells the one who started us why there will be no server.
void report_start_failure(int ready_fd, const Error& error) noexcept;

/// Where image servers log: one file a store, of bounded size.
std::filesystem::path image_server_log(const std::filesystem::path& store_root);

/// True if `folder` is a mount point of ours, whether its server lives or not.
bool is_image_mount(const std::filesystem::path& folder);
/// Unmounts; throws Error if it is no image mount, or is busy (naming who uses it; one who only looks at it
/// in passing is waited for, 1 s at most). A mount whose server is dead is detached even when it is busy:
/// nobody can use it any more. The processes behind it end soon after: await_absence() in presence.h.
void unmount_image(const std::filesystem::path& folder);

}  // namespace coldstart
