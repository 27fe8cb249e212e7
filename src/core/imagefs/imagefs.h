// SPDX-License-Identifier: Apache-2.0
#pragma once
// An image as a read-only FUSE file system.
//
// Two roles, which may be two processes: who *mounts* opens /dev/fuse and holds the mount; who *serves*
// answers the kernel's requests on that descriptor. They are apart so that a server can be replaced under
// a living mount.

#include <filesystem>
#include <memory>
#include <string>

#include "core/base/fd.h"
#include "core/base/subprocess.h"
#include "core/image/reader.h"
#include "core/store/store.h"

namespace coldstart {

/// A FUSE mount point without a server yet. Unmounts (lazily) when destroyed, unless released. Move-only.
class FuseMount {
 public:
  /// Mounts on `folder`, which must exist and be empty; as root by mount(2), else by fusermount3.
  /// `source` is what mountinfo shows. Throws Error (exit 6) if FUSE is not to be had here.
  FuseMount(std::filesystem::path folder, const std::string& source);
  FuseMount(FuseMount&&) noexcept = default;
  FuseMount& operator=(FuseMount&&) noexcept;
  ~FuseMount();
  int fd() const { return fd_.get(); }
  const std::filesystem::path& folder() const { return folder_; }
  /// The mount stays after us.
  void release();

 private:
  std::filesystem::path folder_;
  Fd fd_;
};

struct ServeOptions {
  unsigned threads = 4;
  /// Becomes readable when the server must end although the mount is still there; -1: never.
  int stop_fd = -1;
};

/// Answers requests until the mount is gone. `ready_fd` (or -1) gets one byte once the kernel has been
/// greeted, that is when the mount is usable.
void serve_image(int fuse_fd, Store& store, const ImageReader& image, const ServeOptions& options,
                 int ready_fd);

/// Starts a process of this same program that serves `image` on `mount` and waits until it answers.
/// It ends with the mount, or with us if `die_with_us`.
Child start_image_server(const FuseMount& mount, const std::filesystem::path& store_root, const Digest& image,
                         bool die_with_us);

/// True if `folder` is a mount point of ours.
bool is_image_mount(const std::filesystem::path& folder);
/// Unmounts; throws Error if it is no image mount, or is busy (naming who uses it).
void unmount_image(const std::filesystem::path& folder);

}  // namespace coldstart
