// SPDX-License-Identifier: Apache-2.0
#pragma once
// The server that fills the memory of one restore after CRIU has rebuilt its processes: CRIU's lazy-pages
// protocol on one side, userfaultfd on the other. It runs as a process of its own (`coldstart lazy-pages`);
// what starts it is MemoryServer in memory.h.
//
// The protocol (CRIU 4.2): a stream socket `lazy-pages.socket` in CRIU's work folder. Each process that CRIU
// restores sends 4 bytes, its pid in the images, and then one byte with its userfaultfd; a zombie sends -pid
// and no descriptor. At the end comes the number restore_finished: by then all memory is registered. Faults
// must be served at once, as CRIU's own code in the process may touch what is missing.

#include <condition_variable>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/base/cancel.h"
#include "core/memory/address_space.h"
#include "core/memory/family.h"
#include "core/memory/guardian.h"
#include "core/memory/memory.h"
#include "core/memory/working_set.h"

namespace coldstart {

struct PageServerOptions {
  std::filesystem::path work_folder;  ///< where lazy-pages.socket is made
  unsigned fault_threads = 1;
  uint64_t push_bytes = uint64_t{256} << 10;  ///< one batch, at most 2 MiB
  WorkingSet first;                           ///< pushed before the rest
  /// A pipe: nothing is pushed until it ends, so that all that is touched is asked for. If it says a byte
  /// before, `recorded` is called then. -1: no such thing.
  int hold_until = -1;
  std::function<void()> recorded = [] {};
  /// The snapshot's shared copy, if CRIU restores from its images; empty: none.
  std::filesystem::path shared;
  /// What a device driver will pin. Such memory is brought when `control` says so.
  std::vector<PinnedMapping> pinned;
  /// A stream socket to whoever restores. From there may come, before CRIU connects, 4 bytes: the pid of a
  /// further process to kill where the restored ones are. If it ends before that, so does the service. With
  /// `shared` or `pinned` a byte that comes says that CRIU has made all mappings and nothing runs yet; one
  /// that goes back, that what is shared is served, and what will be pinned is there. -1: none.
  int control = -1;
};

/// One restore, from CRIU's first word to the last page; with a shared copy, to the end of the last process
/// that maps it. One thread; make it while there is no other.
class PageServer {
 public:
  /// Listens when it returns.
  PageServer(std::unique_ptr<SnapshotPages> pages, const PageServerOptions& options);
  ~PageServer();
  /// Serves until every page is in its place or every process has ended. Whatever goes wrong (pages that
  /// cannot be read, cancellation, CRIU giving up): the processes are killed, and only then it throws.
  MemoryStatistics serve(const CancelToken& cancel);

 private:
  using Spaces = std::map<uint64_t, std::shared_ptr<AddressSpace>>;  // by id, in order of arrival

  void run(const CancelToken& cancel);
  Fd accept(const CancelToken& cancel);
  void take_further_process();
  void take_criu(int client);
  bool take_message(int client);
  void watch_until_done(const CancelToken& cancel, Fd client);
  void start_threads();
  void stop_threads() noexcept;
  void adopt(std::shared_ptr<AddressSpace> space);
  void answer_faults();
  void answer(uint64_t id);
  void push_pages();
  void push_first(MutableByteSpan scratch);
  void push_arrived(MutableByteSpan scratch);
  std::shared_ptr<AddressSpace> space_of_locked(uint32_t pid) const;
  std::vector<PageRange> first_to_read() const;
  std::vector<PageRange> pinned_ranges() const;
  void read_ahead();
  void end_hold();
  bool may_push_locked() const { return restored_ && !holding_; }
  bool arrives_locked() const { return coming_ || !arrived_.empty(); }
  std::pair<uint64_t, std::shared_ptr<AddressSpace>> next_to_push(uint64_t behind);
  void retire(uint64_t id);
  void finish_restore();
  void settle_when_told(int control);
  void sweep();
  void tell_if_filled();
  void fail(std::exception_ptr failure);
  void tell_main();

  const PageServerOptions options_;
  const std::unique_ptr<SnapshotPages> pages_;
  const std::shared_ptr<SharedPages> shared_;  // or null
  Guardian guardian_;                          // first: it must see us without threads
  Family family_;
  Fd listener_;
  Fd epoll_;
  Fd news_;     // eventfd: something for the main thread to look at
  Fd stopper_;  // eventfd in epoll_: readable for ever once the threads are to end
  FillCounters counters_;

  std::mutex mutex_;  // guards all below
  std::condition_variable work_;
  Spaces spaces_;
  std::map<uint32_t, std::weak_ptr<AddressSpace>> restored_spaces_;  // by pid in the images
  uint64_t next_id_ = 1;
  size_t next_first_ = 0;          // in options_.first
  std::deque<PageRange> arrived_;  // from afar, to be pushed
  bool coming_ = false;            // more will
  bool shares_ = false;            // the shared copy is being served
  bool filled_ = false;            // and told so
  size_t swept_ = 0;               // address spaces that were left after the last sweep
  bool restored_ = false;
  bool holding_ = false;
  bool stop_ = false;
  bool forked_ = false;  // children may have appeared
  std::exception_ptr failure_;

  pid_t criu_ = 0;                    // main thread only
  std::map<uint32_t, pid_t> pids_;    // of restored processes as we see them, by pid in the images; the same
  std::vector<std::thread> threads_;  // main thread only
};

}  // namespace coldstart
