// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an address space still needs of the snapshot, and where: it follows what the process does to its
// mappings from what userfaultfd tells of it.
//
// The kernel tells of a change once the lock of the mappings is released. So events of two threads may be
// told in the wrong order, and what was told is not all that has happened:
//   - One thread moves its memory away and another gets the hole, before the first has told. So a move to a
//     place that is still taken waits for the event that frees it.
//   - The kernel tells of a move twice, as a move and then as an unmapping of the old place, which may have
//     a new owner by then: that echo is ignored.
//   - The event that frees a place need not be about memory that we know of, as mappings grow without our
//     being told: then nothing makes the move to it wait, and the unmapping comes behind. So an unmapping of
//     a place that was moved to a moment ago is in doubt, until nothing is on its way any more and the kernel
//     can be asked what lies there. Until then what is pending there stays so, which harms nothing where no
//     mapping is.
//   - A fork is told like the rest. Which of the moves around it the child has seen, its own mappings show.

#include <cstdint>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "core/memory/pending_pages.h"

namespace coldstart {

/// Not thread-safe.
class ServedMemory {
 public:
  PendingPages pending;  ///< what has to come from the snapshot
  PendingPages shared;   ///< pages that are those of the shared copy, or would be

  /// A mapping that is served.
  void add_mapping(const Piece& mapping) { mapped_.add(mapping); }
  /// A forked child's, but for what it must not see, by its addresses at the dump: [start, end).
  ServedMemory forked(const std::vector<std::pair<uint64_t, uint64_t>>& not_inherited) const;

  struct Move {
    uint64_t from;
    uint64_t to;
    uint64_t size;
  };
  void moved(const Move& move);
  /// The moves since all was told, oldest first; of very many the last ones.
  const std::vector<Move>& recent_moves() const { return recent_moves_; }
  /// Of a forked child, before it is served: the fork was told between these moves, but need not have been
  /// between them. `serves`: whether a mapping of the child's is at an address.
  void take_moves(const std::vector<Move>& before, const std::vector<Move>& after,
                  const std::function<bool(uint64_t)>& serves);
  void unmapped(uint64_t start, uint64_t end);
  /// Its pages were discarded.
  void removed(uint64_t start, uint64_t end);

  /// There are moves to places that are not free yet.
  bool waits() const { return !waiting_.empty(); }
  /// Nobody frees them: a mapping that a fork did not inherit (MADV_DONTFORK) was there.
  void wait_no_longer();

  /// What comes out of order now cannot be told from what comes in order: something was moved a moment ago.
  bool is_unsettled() const { return !recent_.empty(); }
  /// All that has happened was told. `serves`: whether a mapping that is served is at an address.
  void settle(const std::function<bool(uint64_t)>& serves);

 private:
  void shift(const Move& move);
  void forget(uint64_t start, uint64_t end);
  void free_place(uint64_t start, uint64_t end);

  PendingPages mapped_;                             // the mappings we know to serve; not what they grew by
  PendingPages recent_;                             // places moved to since all was told
  PendingPages doubtful_;                           // of those, the ones told to be unmapped
  std::set<std::pair<uint64_t, uint64_t>> echoes_;  // unmappings that were told as moves already
  std::vector<Move> waiting_;
  std::vector<Move> recent_moves_;
};

}  // namespace coldstart
