// SPDX-License-Identifier: Apache-2.0
#pragma once
// The room a program runs in: its own pid and mount namespaces (and a network one if asked), a root made of
// an overlay over an image or a folder, and a first process that reaps.
//
//   supervisor (host side, in a mount namespace of its own: whatever dies, no mount is left behind)
//    ├─ image server (serves the FUSE mount below the overlay)
//    ├─ init         (pid 1 inside; only reaps orphans; when it dies the kernel kills all that is inside)
//    ├─ main command (inside, a session leader; our child, so we get its exit status)
//    └─ criu swrk    (inside, while a snapshot is taken or restored)
//
// Everything inside is started from outside by enter-and-clone (Sandbox::start), so there is no protocol
// with init, and CRIU with `rst_sibling` makes the restored root process our child too.

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/subprocess.h"

namespace coldstart {

enum class Net {
  host,     ///< the host's network
  none,     ///< a network namespace with nothing but a loopback that is down
  isolated  ///< "private": a network namespace with a loopback; reached by published ports
};

/// A folder or file of the host seen inside.
struct Bind {
  std::filesystem::path source;  ///< on the host
  std::string target;            ///< absolute, inside
  bool read_only = false;
};

/// What the root of the sandbox is made of.
struct RootSpec {
  /// The read-only tree below (a mounted image, or --rootfs); empty: the host's own root as it is, writable.
  std::filesystem::path lower;
  /// Folder for the overlay's upper and work folders, owned by the caller; not itself on an overlay. Its
  /// folder `upper` may have content already (a restore puts there what the snapshot had written).
  std::filesystem::path scratch;
  std::vector<Bind> binds;
};

/// The first pid that programs get inside. Lower ones (but 1, init) stay free: a restored tree has the pids
/// it had, and CRIU, which works beside it, must not have taken one of them.
constexpr pid_t first_program_pid = 1000;

struct SandboxOptions {
  RootSpec root;
  Net net = Net::host;
  /// Where the numbering of pids inside begins. A sandbox that is restored into leaves it at 2.
  pid_t first_pid = first_program_pid;
};

/// A program to start inside.
struct ProgramSpec {
  std::vector<std::string> argv;         ///< argv[0] is looked up in PATH of `environment`, inside
  std::vector<std::string> environment;  ///< all of it, "K=V"
  std::string folder = "/";              ///< working folder, inside
  bool make_folder = false;              ///< if it is not there
  /// USER[:GROUP], looked up inside (user.h); empty: root. HOME is the user's own unless `environment` has
  /// it.
  std::string user;
  /// (ours, theirs) as in SpawnOptions: every other descriptor is closed. 0, 1 and 2 are ours if not named.
  /// Ours -1: /dev/null, opened inside.
  std::vector<std::pair<int, int>> fds;
  /// The pid it must get inside; 0: any. Error if it is taken.
  pid_t pid_inside = 0;
  bool new_session = true;
};

/// A running sandbox. Destroying it kills all that is inside, waits until it is gone and unmounts. Must be
/// made and destroyed by one thread; start() may be called from any, one at a time.
class Sandbox {
 public:
  /// Makes namespaces, root and init; nothing else runs inside yet. The calling process must be in a mount
  /// namespace of its own (own_mount_namespace()).
  explicit Sandbox(const SandboxOptions& options);
  Sandbox(Sandbox&&) noexcept;
  ~Sandbox();

  pid_t init_pid() const;  ///< of pid 1, as seen from the host
  /// Readable once init has ended, and with it all that was inside: for poll(2).
  int init_pidfd() const;
  /// The sandbox's root as seen from the host ("/proc/PID/root"): the way to fill its /dev/shm.
  std::filesystem::path root() const;
  /// Starts a program inside; it is our child (its parent's pid inside reads as 0). It does not die with
  /// us by itself, but with the sandbox. Throws Error once exec has failed: exit 127 if there is no such
  /// program, 126 if it cannot be executed (as shells have it), and when it is cancelled before.
  Child start(const ProgramSpec& program, const CancelToken* cancel = nullptr);
  /// The pid inside of a process of ours (from NSpid in /proc/PID/status).
  static pid_t pid_inside(pid_t host_pid);
  /// The host pid of a process inside; throws if there is none.
  pid_t pid_outside(pid_t pid_inside) const;
  const SandboxOptions& options() const;
  /// Where the overlay keeps what was written; empty for the host's root.
  std::filesystem::path upper() const;

 private:
  SandboxOptions options_;
  Child init_;
};

/// Starts a program in the namespaces of a running process (`exec`, a dump of what already runs), as a
/// child of ours. Throws as Sandbox::start does.
Child start_in_namespaces_of(pid_t host_pid, const ProgramSpec& program);

/// Gives this process (single-threaded) a mount namespace of its own, into which the host's mounts and
/// unmounts still come but out of which nothing goes.
void own_mount_namespace();

}  // namespace coldstart
