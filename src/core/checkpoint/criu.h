// SPDX-License-Identifier: Apache-2.0
#pragma once
// Dump and restore by CRIU: `criu swrk` is started inside the namespaces of what it works on, so that CRIU
// sees no namespace and no mount to dump or recreate, and is spoken to through a socket (its RPC).
//
// Folders are the host's; they need not be visible inside (see CriuProgram), but /proc must be mounted there.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/cancel.h"
#include "core/base/subprocess.h"
#include "core/checkpoint/criu_program.h"
#include "core/sandbox/sandbox.h"

namespace coldstart {

/// Starts a program inside: Sandbox::start, or start_in_namespaces_of. What it gives has been executed.
using StartInside = std::function<Child(const ProgramSpec&)>;

/// Called at CRIU's stations, while CRIU waits. For a dump: "pre-dump", "post-dump" (processes are still
/// frozen: what the snapshot needs of the file system is to be copied here). For a restore: "pre-restore",
/// "post-restore", "pre-resume" (memory is in place, nothing runs yet), "post-resume". Others may come.
/// What it throws makes CRIU give up and undo, and is then thrown by the call.
using CriuNotify = std::function<void(std::string_view station)>;

/// What a dump and the restore of it must agree on, and where things are.
struct CriuOptions {
  std::filesystem::path images;  ///< folder of the image files
  std::filesystem::path work;    ///< folder for the rest (statistics, lazy-pages.socket); empty: `images`
  /// CRIU's log: kept if it fails and named in the error's hint, removed if not. Its folder must outlive
  /// the call.
  std::filesystem::path log;
  int log_level = 2;   ///< 1 errors, 2 and warnings, 3 and what is done, 4 everything (slow)
  Bytes kernel_facts;  ///< of criu_kernel_facts(); empty: CRIU finds them out, which takes 30 ms
  /// Open and mapped files are an image's, so it is enough to compare their sizes. Else CRIU reads each of
  /// them for its build id, at the dump and at the restore.
  bool files_never_change = false;
  /// CRIU follows the last steps of its own code in a process by its system calls instead of by a hardware
  /// breakpoint. Where nothing else on the host has one, the kernel waits for a grace period of RCU until the
  /// first is set: 15 ms in which nothing happens.
  bool no_breakpoints = false;
  bool tcp_close = false;             ///< connections come back closed
  bool tcp_established = false;       ///< connections come back; needs the same addresses and iptables inside
  bool ext_unix_sk = false;           ///< unix sockets may have their peer outside
  bool shell_job = false;             ///< there is a terminal, or a session that began outside
  bool file_locks = true;             ///< file locks come back
  std::vector<std::string> external;  ///< as of CRIU's --external
};

struct DumpOptions : CriuOptions {
  pid_t pid = 0;  ///< root of the tree, as numbered inside
  bool leave_running = false;
  bool link_remap = true;  ///< open files that were renamed or unlinked but have other links
  /// Where files that inotify watches are looked for, if their file system has no file handles.
  std::vector<std::string> watched_below = {"/tmp", "/run", "/home", "/root", "/srv", "/opt", "/var"};
  uint32_t ghost_limit = uint32_t{64} << 20;  ///< bytes of an unlinked open file that are kept at most
};

struct RestoreOptions : CriuOptions {
  /// (what the images call it, ours): "pipe:[123]" is replaced by our descriptor.
  std::vector<std::pair<std::string, int>> inherit;
  bool lazy_pages = false;  ///< memory comes from the server behind `work`/lazy-pages.socket
};

/// Freezes the tree and writes its images; then ends it, or lets it run on. If that fails, or is cancelled at
/// a station, the tree runs on. `start` should give a child that does not die with us: CRIU that is
/// killed in the middle of a dump takes its target along.
void criu_dump(const CriuProgram& criu, const DumpOptions& options, const StartInside& start,
               const CriuNotify& notify, CancelToken& cancel);

/// A restore that can begin at once: CRIU is started in the namespaces that `start` starts in, which should
/// hold nothing else, and waits, for as long as it may take. One thread. Destroyed before restore(): CRIU is
/// gone, and nothing was restored.
class CriuRestore {
 public:
  CriuRestore(const CriuProgram& criu, const RestoreOptions& options, const StartInside& start);
  CriuRestore(const CriuRestore&) = delete;
  CriuRestore& operator=(const CriuRestore&) = delete;
  ~CriuRestore();
  /// Readable once CRIU has ended, which it should not before restore(): for poll(2).
  int pidfd() const;
  /// Restores the tree, once. Gives its root: a child of ours, as the processes that the sandbox starts are.
  /// After a failure or a cancellation parts of the tree may be there; destroy this, then the sandbox.
  Child restore(const CriuNotify& notify, CancelToken& cancel);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The same in one go.
Child criu_restore(const CriuProgram& criu, const RestoreOptions& options, const StartInside& start,
                   const CriuNotify& notify, CancelToken& cancel);

/// What CRIU needs to know of the running kernel, found out once a boot and kept in `folder`.
Bytes criu_kernel_facts(const CriuProgram& criu, const std::filesystem::path& folder);

}  // namespace coldstart
