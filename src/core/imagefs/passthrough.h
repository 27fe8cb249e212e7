// SPDX-License-Identifier: Apache-2.0
#pragma once
// FUSE passthrough (Linux 6.9): the kernel reads and maps an open file straight from a file of ours, without
// asking. libfuse knows it from 3.17 on; with an older one the two answers that matter are completed on their
// way to the kernel.
//
// The kernel's rules, which whoever answers OPEN has to keep: at any time, all opens of an inode are passed
// through to one backing file, or none is; and an open that is passed through must not keep the page cache.

#include <atomic>

#include "core/imagefs/session.h"

namespace coldstart {

/// Thread-safe.
class Passthrough : public SessionHook {
 public:
  /// Works on a descriptor of the same mount; the caller keeps it open. If not `wanted`, it is not asked for.
  Passthrough(int fuse_fd, bool wanted) : fuse_fd_(fuse_fd), wanted_(wanted) {}

  /// To be called by the operation init.
  void ask_for(fuse_conn_info& connection) const;
  /// The kernel has agreed. Known once it has been greeted. A backing file can still be refused.
  bool agreed() const { return agreed_.load(std::memory_order_acquire); }

  /// Registers `file` (which may be closed afterwards: the kernel keeps the open file) for opens to be passed
  /// through to. A backing id above 0, or -errno: EPERM without CAP_SYS_ADMIN, ELOOP for a file that lies on
  /// a stacked file system.
  int register_backing(int file) const;
  /// Takes the id back; opens that use it go on.
  void unregister_backing(int id) const;

  /// fuse_reply_open(), passed through to `id`. -ENOENT as there: the open was interrupted.
  static int reply_open(fuse_req_t request, fuse_file_info info, int id);

  void on_request(ByteSpan request) noexcept override;
  void on_reply(std::span<const iovec> pieces) noexcept override;

 private:
  const int fuse_fd_;
  const bool wanted_;
  std::atomic<uint64_t> greeting_{0};  // unique id of the INIT that offers it
  std::atomic<bool> agreed_{false};
};

}  // namespace coldstart
