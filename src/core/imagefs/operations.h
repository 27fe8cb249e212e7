// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the kernel may ask of an image, answered from its metadata and its chunks. Inode numbers of the
// mount are those of the blob, so nothing is remembered between requests and FORGET has nothing to do.

#include <functional>
#include <set>
#include <string>

#include "core/image/reader.h"
#include "core/imagefs/file_reader.h"
#include "core/imagefs/filler.h"
#include "core/imagefs/keeper_link.h"
#include "core/imagefs/loader_ahead.h"
#include "core/imagefs/open_table.h"
#include "core/imagefs/passthrough.h"
#include "core/imagefs/session.h"
#include "core/imagefs/trace_recorder.h"

namespace coldstart {

/// Thrown: a request that gets nothing but an errno.
struct Refusal {
  int error;
};

/// What an image is served with. All of it must outlive the operations.
struct ServingParts {
  const ImageReader& image;
  FileReader& files;
  FileCache& cache;
  Filler& filler;
  OpenTable& opens;
  Passthrough& passthrough;
  ImageMetrics& metrics;
  LoaderAhead* loader;        ///< or null
  TraceRecorder* recorder;    ///< or null
  const ChunkOrigin* origin;  ///< or null
  const KeeperLink& keeper;
  const std::string& upgrade_failure;  ///< see ServeOptions
};

/// The user data of the FuseSession. Thread-safe.
class ImageOperations {
 public:
  explicit ImageOperations(const ServingParts& parts);

  /// The table for fuse_session_new().
  static const fuse_lowlevel_ops& table();

  void init(fuse_conn_info& connection);
  /// After the kernel was greeted: finds out whether files can be passed through here.
  void probe_passthrough();
  void lookup(fuse_req_t request, fuse_ino_t parent, std::string_view name);
  void getattr(fuse_req_t request, fuse_ino_t inode);
  void readlink(fuse_req_t request, fuse_ino_t inode);
  void open(fuse_req_t request, fuse_ino_t inode, fuse_file_info info);
  void release(fuse_req_t request, fuse_ino_t inode);
  void opendir(fuse_req_t request, fuse_file_info info);
  void read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset);
  void readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, bool plus);
  void statfs(fuse_req_t request);
  void getxattr(fuse_req_t request, fuse_ino_t inode, std::string_view name, size_t size);
  void listxattr(fuse_req_t request, fuse_ino_t inode, size_t size);
  /// The questions of mount_stat.h and mount_upgrade.h; no others.
  void ioctl(fuse_req_t request, fuse_ino_t inode, unsigned command, size_t room);
  void lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence);

 private:
  /// Throws (a reader's ESTALE) if the kernel names an inode that the image does not have.
  const InodeRecord& record(fuse_ino_t inode) const;
  struct stat status(uint32_t inode) const;
  fuse_entry_param entry(uint32_t inode) const;
  /// What mount_stat() gives.
  OrderedJson tell() const;

  /// False if no file here has it, and it is none of the users' own.
  bool supports(std::string_view attribute) const;
  /// A new backing id for a file that is complete in the cache; else 0.
  int backing(uint32_t inode);

  ServingParts parts_;
  const ImageReader& image_;
  FileReader& files_;
  std::set<std::string, std::less<>> xattr_names_;  ///< of all files
  bool has_acls_ = false;
  bool no_open_ = false;     ///< the kernel can do without answers to open
  bool no_opendir_ = false;  ///< and to opendir
  bool passes_through_ = false;
};

}  // namespace coldstart
