// SPDX-License-Identifier: Apache-2.0
#pragma once
// One address space that is being filled: it answers its page faults, follows what the process does to its
// mappings, and pushes what nobody asked for yet.
//
// The race that decides the shape: the process discards a page (madvise) while we copy the snapshot's into
// it. The kernel tells of a discard before it does it, and refuses our fills (EAGAIN) from then until we have
// READ the event; after that the process goes on, and a fill looked up before would bring the old bytes back.
// So an event may be read only while no fill is under way:
//   - a filler takes its piece out of what is pending and counts itself in `filling_`, copies, counts itself
//   out;
//   - the reader first keeps new fillers out (`reading_`), waits until none is left, and only then reads. It
//   applies
//     all events, and looks the faults up only afterwards, as an event in the same batch may change the
//     answer;
//   - the reader's own fills need no such care: nobody but the reader reads events.
// What is told is not what happens when (served_memory.h). A fork's event, too, may come before that of a
// move that the child has seen: so what is told until nothing is on its way is looked for in the child.
//
// That makes a page's state exact: it is pending, or a filler has it, or it needs nothing from the
// snapshot any more, so that a fault on it is answered with zeros.
//
// Mappings of the shared copy (shared_pages.h) are served the same way, but a page is mapped instead of
// copied, and that is never final: the kernel may take it out of the page tables again, and a fork may leave
// it out of the child's. So a page of theirs stays in `ServedMemory::shared` for as long as the process has
// not discarded it, and is mapped again whenever it is asked for; and the service lasts as long as the
// process, since to whom nobody answers the kernel would show what is in the file, discarded or not.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/checkpoint/pinned_list.h"
#include "core/memory/page_source.h"
#include "core/memory/served_memory.h"
#include "core/memory/shared_pages.h"
#include "core/memory/userfault.h"

namespace coldstart {

/// Counted by all address spaces of a restore together. Pages are of 4 KiB.
struct FillCounters {
  std::atomic<uint64_t> faults{0};
  std::atomic<uint64_t> fault_pages{0};   ///< of the snapshot, filled because of a fault on or near them
  std::atomic<uint64_t> pushed_pages{0};  ///< of the snapshot, filled before they were asked for
  std::atomic<uint64_t> shared_pages{0};  ///< of those two, the ones mapped from the shared copy
  std::atomic<uint64_t> zero_pages{0};
  std::atomic<uint64_t> fault_nanoseconds{0};  ///< from reading a fault to its page being there, all together
};

/// Thread-safe; but serve() is called by one thread at a time.
class AddressSpace {
 public:
  /// Of a restored process; `fd` is what CRIU sent for it. `shared`: its mappings of the shared copy, or
  /// null. `pinned`: mappings that bring_pinned() is to bring; nobody may touch them before that.
  AddressSpace(Fd fd, std::shared_ptr<const PageSource> source, FillCounters& counters,
               std::shared_ptr<const SharedProcess> shared = nullptr,
               const std::vector<PinnedMapping>& pinned = {});

  /// Reads the kernel's messages and answers them. Gives the address spaces of children forked meanwhile.
  std::vector<std::shared_ptr<AddressSpace>> serve();

  enum class Push {
    filled,   ///< a piece was tried
    blocked,  ///< the process changes its mappings just now: try again after serve()
    nothing,  ///< nothing is left to push
  };
  /// Fills one piece of what is still pending, at most `scratch.size()` bytes. What another server is about
  /// to bring into the shared copy it leaves for later, unless it is to `insist`.
  Push push(MutableByteSpan scratch, bool insist = true);
  /// The same of what is pending of these pages, unless the process has moved them.
  Push push(const PageRange& range, MutableByteSpan scratch);
  /// Brings all of the pinned mappings, which then are served no more: once CRIU has made them, before the
  /// process runs. `pid`: the process as we see it; 0: we do not, and they come as all others do.
  void bring_pinned(pid_t pid);
  /// Begins to serve the mappings of the shared copy: once CRIU has made them, before the process runs. What
  /// is huge of them is mapped first, until `until`. `pid`: the process as we see it; 0: we do not.
  void share(pid_t pid, std::chrono::steady_clock::time_point until);
  /// False once the process is gone: it is served no more.
  bool lives();
  /// From now on the service ends by itself once nothing is pending. Before, memory may not be registered
  /// yet.
  void finish_when_filled();

  /// Has `epoll` tell once, as event `id`, when there is something to serve; false if the service has ended.
  bool watch(int epoll, uint64_t id);
  /// Nothing more to do here: all is filled, or the process is gone.
  bool finished() const;
  uint64_t pending_bytes() const;
  /// Every page is in its place.
  bool filled() const;

 private:
  // A fault brings its neighbourhood along: near what is touched more will be, and a batch costs little more
  // than a page.
  static constexpr uint64_t neighbourhood = uint64_t{64} << 10;
  static uint64_t page_of(uint64_t address) { return address & ~(page_size - 1); }

  /// What a fault gets. Without `piece`: zeros between `low` and `high`, or nothing but a wake-up if those
  /// are equal. `again`: shared pages that had been mapped before, so they are not taken out of what is
  /// pending; then `around` is the stretch of such pages that they are in: where an entry for a huge page has
  /// gone, all of its pages have.
  struct Answer {
    uint64_t page;
    uint64_t low = 0;
    uint64_t high = 0;
    std::optional<Piece> piece;
    bool again = false;
    std::optional<Piece> around;
  };
  /// What a piece is filled with: bytes to be copied, or (none) the pages of the shared copy.
  struct Content {
    ByteSpan bytes;
    bool shared = false;
  };
  struct Batch;

  AddressSpace(Fd fd, const AddressSpace& parent);
  Push push(const Piece& piece, MutableByteSpan scratch, bool insist);
  void read_events(Batch& batch);
  void apply(const uffd_msg& message, Batch& batch);
  void take_children(Batch& batch);
  void await_order(Batch& batch);
  Batch read_batch();
  void give(const Answer& answer);
  void give_piece(const Answer& answer);
  void give_zeros(const Answer& answer);
  void map_around(const Answer& answer);
  void give_back(const std::vector<Piece>& left, Fill why);
  std::optional<Content> content_of(const Piece& piece, MutableByteSpan scratch, bool insist);
  Fill fill(Piece piece, Content content, std::vector<Piece>& left, std::atomic<uint64_t>& count);
  void lose();
  void end_if_filled();
  uint64_t bring_pinned(pid_t pid, const Piece& mapping);

  Userfault userfault_;
  const std::shared_ptr<const PageSource> source_;
  const std::shared_ptr<const SharedProcess> shared_;  // or null
  FillCounters& counters_;
  Bytes scratch_;  // of serve()

  struct {
    PendingPages pending;
    PendingPages shared;
  } later_;                    // what share() adds to map_, put together while CRIU is still at work
  std::vector<Piece> pinned_;  // mappings, until they are brought

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable no_fillers_;
  std::condition_variable not_reading_;
  ServedMemory map_;
  uint64_t cursor_ = 0;  // where to push next: behind the last fault or push
  int filling_ = 0;
  bool reading_ = false;
  bool answering_ = false;  // serve() still holds claimed pieces
  bool may_finish_ = false;
  bool watched_ = false;
  bool gone_ = false;
  bool finished_ = false;
};

}  // namespace coldstart
