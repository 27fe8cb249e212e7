// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which pages of an address space still have to come from the snapshot, and which of its pages each is.
//
// A restored process moves, unmaps and discards memory while it is being filled. So a page has two addresses:
// where it is now, and the one it had at the dump, by which the snapshot knows it (`image`). Both run in step
// within a piece.

#include <cstdint>
#include <map>
#include <optional>

namespace coldstart {

constexpr uint64_t page_size = 4096;

/// Contiguous pages that are one contiguous piece of the snapshot too, within one mapping.
struct Piece {
  uint64_t start = 0;  ///< where it is now
  uint64_t size = 0;   ///< bytes, whole pages
  uint64_t image = 0;  ///< where it was at the dump
  uint64_t end() const { return start + size; }
  /// Without its first `bytes`.
  Piece after(uint64_t bytes) const { return {start + bytes, size - bytes, image + bytes}; }
  Piece first(uint64_t bytes) const { return {start, bytes, image}; }
  bool operator==(const Piece&) const = default;
};

/// A plain value; copying it is what fork does. Not thread-safe.
class PendingPages {
 public:
  /// Nothing may be pending there.
  void add(const Piece& piece);
  /// All of `more`, which is of no use afterwards.
  void add(PendingPages&& more);
  /// The first at or behind `from`, at most `limit` bytes of it; from the start if there is none behind.
  std::optional<Piece> next(uint64_t from, uint64_t limit) const;
  /// What is pending contiguously around `address` between `low` and `high`; none if `address` is not
  /// pending.
  std::optional<Piece> around(uint64_t address, uint64_t low, uint64_t high) const;
  /// Takes it out; false, and nothing changed, if any of it is not pending or is other pages by now.
  bool claim(const Piece& piece);
  /// The stretch around `address`, between `low` and `high`, where nothing is pending. `address` is not.
  std::pair<uint64_t, uint64_t> gap(uint64_t address, uint64_t low, uint64_t high) const;

  /// Whether anything is pending between the two.
  bool overlaps(uint64_t start, uint64_t end) const;

  /// The process unmapped or discarded it.
  void drop(uint64_t start, uint64_t end);
  /// The process moved it; what was pending at the new place is gone.
  void move(uint64_t from, uint64_t to, uint64_t size);
  /// Drops what had these addresses at the dump, wherever it is now.
  void drop_image(uint64_t start, uint64_t end);

  bool empty() const { return pieces_.empty(); }
  uint64_t bytes() const { return bytes_; }

 private:
  using Map = std::map<uint64_t, Piece>;  // by start; pieces do not overlap
  Map::const_iterator at_or_before(uint64_t address) const;
  void split(uint64_t address);

  Map pieces_;
  uint64_t bytes_ = 0;
};

}  // namespace coldstart
