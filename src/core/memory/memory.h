// SPDX-License-Identifier: Apache-2.0
#pragma once
// How the memory of a snapshot comes back into its processes, for those that restore.
//
//   MemoryServer memory(options);                    // its socket is in options.work_folder
//   … make the sandbox, start CRIU …                 // it starts meanwhile
//   memory.kill_also(sandbox.init_pid());
//   memory.until_it_listens();
//   … criu restore with lazy_pages set and work_dir = options.work_folder …   // returns in constant time
//   MemoryStatistics s = memory.wait(cancel);        // any time later, or watch memory.pidfd()
//
// With a shared copy (MemoryServerOptions::shared) memory.settle() is to be called at CRIU's "pre-resume",
// and the server lives as long as the processes. It is to be called, too, if a device driver will pin memory
// of theirs (checkpoint/pinned_list.h).
//
// If the server dies or its pages cannot be read, the restored processes are killed before they can see a
// wrong byte.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/subprocess.h"
#include "core/store/digest.h"

namespace coldstart {

enum class MemoryMode {
  eager,  ///< CRIU fills all memory before the processes run
  lazy,   ///< our page server fills it while they run
  shared  ///< the same, but most of it is mapped from a copy that all replicas on this host share
};
/// Of "eager", "lazy" or "shared"; Error::usage for another word.
MemoryMode parse_memory_mode(std::string_view word);
const char* to_string(MemoryMode mode);

/// What a page server did. Pages are of 4 KiB.
struct MemoryStatistics {
  uint64_t processes = 0;     ///< address spaces, with forked ones
  uint64_t faults = 0;        ///< that the processes had to wait for
  uint64_t fault_pages = 0;   ///< of the snapshot, filled because of those
  uint64_t pushed_pages = 0;  ///< of the snapshot, filled ahead
  uint64_t shared_pages = 0;  ///< of both, those mapped from the shared copy
  uint64_t zero_pages = 0;    ///< memory that was empty in the snapshot, and was asked for
  double seconds = 0;         ///< from the end of CRIU's restore to the last page
  double fault_seconds = 0;   ///< spent in answering faults
  uint64_t bytes() const { return (fault_pages + pushed_pages) * 4096; }
};
OrderedJson to_json(const MemoryStatistics& statistics);
MemoryStatistics memory_statistics_from_json(const Json& json);

/// With a shared copy, the server makes this file in its work folder once every page is in its place.
constexpr const char* memory_filled_file = "memory-filled";

struct MemoryServerOptions {
  std::filesystem::path images;  ///< CRIU's images
  /// Where the pages are: a snapshot in this store. Absent: in the images.
  std::filesystem::path store;
  std::optional<Digest> snapshot;
  /// Nothing is pushed until release(), which then keeps what was asked for as the snapshot's working set.
  bool record = false;
  std::filesystem::path shared;  ///< the shared copy of them whose images CRIU restores; empty: none
  std::filesystem::path
      work_folder;            ///< must be CRIU's work folder: the socket lazy-pages.socket is made in it
  std::filesystem::path log;  ///< of the server; empty: none
  /// The coldstart binary; empty: this program.
  std::filesystem::path program;
};

/// A page server for one restore, a process of its own. Destroying it before it is done kills it, and so the
/// restored processes. Move-only; one thread at a time.
class MemoryServer {
 public:
  /// Starts it.
  explicit MemoryServer(const MemoryServerOptions& options);
  /// `pid` is killed with the restored processes when the server fails or dies: give it the sandbox's init,
  /// so that nothing inside survives. At most once, before CRIU is asked to restore. A server that has died
  /// already is told of by until_it_listens().
  void kill_also(pid_t pid);
  /// To be called before CRIU is asked to restore. Throws if the images cannot be served.
  void until_it_listens();
  /// Readable once it has ended: for poll(2).
  int pidfd() const { return server_.pidfd(); }
  /// Ends the recording; nothing happens if there is none.
  void release();
  /// To be called, where it is (see above), when CRIU has made all mappings and nothing runs yet. Returns
  /// when the processes may run: with memory to be pinned that takes time. Throws why the server failed.
  void settle(const CancelToken& cancel);
  /// Throws why the server failed, if it does within this time.
  void check(std::chrono::milliseconds patience);
  /// Throws if somebody killed it, within this time; returns once it has ended otherwise.
  void check_killed(std::chrono::milliseconds patience);
  /// Waits until every page is in its place (or the processes have ended). Throws why the server failed; the
  /// processes are dead then. Cancelling leaves it running.
  MemoryStatistics wait(const CancelToken& cancel);

 private:
  Child server_;
  Fd status_;  // until it listens
  Fd hold_;    // of a recording: its end lets the server push
  Fd control_;
  Fd output_;  // its result, or its error, as JSON
};

}  // namespace coldstart
