// SPDX-License-Identifier: Apache-2.0
#include "core/memory/served_memory.h"

#include <algorithm>

namespace coldstart {

namespace {

constexpr size_t most_recent_moves = 64;

/// Makes it one of `ranges`.
void cover(PendingPages& ranges, uint64_t start, uint64_t end) {
  ranges.drop(start, end);
  ranges.add({start, end - start, start});
}

/// Calls `f(start, end)` for each of `ranges` between the two.
template <class F>
void for_each_within(const PendingPages& ranges, uint64_t start, uint64_t end, F f) {
  while (start < end) {
    const auto next = ranges.next(start, end - start);
    if (!next || next->start < start || next->start >= end) return;
    f(next->start, std::min(next->end(), end));
    start = next->end();
  }
}

}  // namespace

ServedMemory ServedMemory::forked(const std::vector<std::pair<uint64_t, uint64_t>>& not_inherited) const {
  ServedMemory child;
  child.pending = pending;
  child.shared = shared;
  child.mapped_ = mapped_;
  for (const auto& [start, end] : not_inherited)
    for (PendingPages* pages : {&child.pending, &child.shared, &child.mapped_}) pages->drop_image(start, end);
  return child;
}

/// The process has no use any more for what the snapshot has there.
void ServedMemory::forget(uint64_t start, uint64_t end) {
  pending.drop(start, end);
  shared.drop(start, end);
}

void ServedMemory::removed(uint64_t start, uint64_t end) {
  forget(start, end);
}

void ServedMemory::moved(const Move& move) {
  const auto& [from, to, size] = move;
  if (mapped_.overlaps(to, to + size)) {
    waiting_.push_back(move);
    return;
  }
  shift(move);
  recent_moves_.push_back(move);
  if (recent_moves_.size() > most_recent_moves) recent_moves_.erase(recent_moves_.begin());
  doubtful_.drop(from, from + size);  // it was there, or it could not have been moved
  recent_.drop(from, from + size);
  cover(recent_, to, to + size);
  echoes_.emplace(from, from + size);
  for (const Move& later : std::exchange(waiting_, {})) moved(later);
}

void ServedMemory::shift(const Move& move) {
  for (PendingPages* pages : {&pending, &shared, &mapped_}) pages->move(move.from, move.to, move.size);
}

void ServedMemory::take_moves(const std::vector<Move>& before, const std::vector<Move>& after,
                              const std::function<bool(uint64_t)>& serves) {
  const auto has = [&](uint64_t start, uint64_t size) { return mapped_.overlaps(start, start + size); };
  for (auto m = before.rbegin(); m != before.rend(); ++m)
    if (has(m->to, m->size) && !serves(m->to)) shift({m->to, m->from, m->size});
  for (const Move& m : after)
    if (has(m.from, m.size) && !serves(m.from) && serves(m.to)) shift(m);
}

void ServedMemory::unmapped(uint64_t start, uint64_t end) {
  if (echoes_.erase({start, end}) == 0) {
    const bool makes_room = std::any_of(waiting_.begin(), waiting_.end(),
                                        [&](const Move& m) { return m.to < end && start < m.to + m.size; });
    uint64_t done = start;
    if (!makes_room) {
      for_each_within(recent_, start, end, [&](uint64_t low, uint64_t high) {
        free_place(done, low);
        cover(doubtful_, low, high);
        done = high;
      });
    }
    free_place(done, end);
  }
  for (const Move& later : std::exchange(waiting_, {})) moved(later);
}

void ServedMemory::free_place(uint64_t start, uint64_t end) {
  forget(start, end);
  for (PendingPages* pages : {&mapped_, &recent_, &doubtful_}) pages->drop(start, end);
}

void ServedMemory::wait_no_longer() {
  for (const Move& move : std::exchange(waiting_, {})) {
    free_place(move.to, move.to + move.size);
    moved(move);
  }
}

void ServedMemory::settle(const std::function<bool(uint64_t)>& serves) {
  // Each was one unmapping and the goal of one move, so it is there as a whole or not at all.
  for_each_within(doubtful_, 0, UINT64_MAX, [&](uint64_t start, uint64_t end) {
    if (serves(start)) return;
    forget(start, end);
    mapped_.drop(start, end);
  });
  doubtful_ = {};
  recent_ = {};
  recent_moves_.clear();
}

}  // namespace coldstart
