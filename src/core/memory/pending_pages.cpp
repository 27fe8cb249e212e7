// SPDX-License-Identifier: Apache-2.0
#include "core/memory/pending_pages.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace coldstart {

void PendingPages::add(const Piece& piece) {
  if (piece.size == 0) return;
  pieces_.emplace(piece.start, piece);
  bytes_ += piece.size;
}

void PendingPages::add(PendingPages&& more) {
  if (more.pieces_.size() > pieces_.size()) std::swap(*this, more);
  pieces_.merge(more.pieces_);
  bytes_ += more.bytes_;
}

PendingPages::Map::const_iterator PendingPages::at_or_before(uint64_t address) const {
  auto it = pieces_.upper_bound(address);
  return it == pieces_.begin() ? pieces_.end() : std::prev(it);
}

std::optional<Piece> PendingPages::next(uint64_t from, uint64_t limit) const {
  if (pieces_.empty()) return std::nullopt;
  if (const auto it = at_or_before(from); it != pieces_.end() && it->second.end() > from) {
    const Piece rest = it->second.after(from - it->first);
    return rest.first(std::min(rest.size, limit));
  }
  auto it = pieces_.lower_bound(from);
  if (it == pieces_.end()) it = pieces_.begin();
  return it->second.first(std::min(it->second.size, limit));
}

std::optional<Piece> PendingPages::around(uint64_t address, uint64_t low, uint64_t high) const {
  const auto it = at_or_before(address);
  if (it == pieces_.end() || it->second.end() <= address) return std::nullopt;
  const Piece& piece = it->second;
  const uint64_t start = std::max(low, piece.start);
  return piece.after(start - piece.start).first(std::min(high, piece.end()) - start);
}

bool PendingPages::claim(const Piece& piece) {
  const auto it = at_or_before(piece.start);
  if (piece.size == 0 || it == pieces_.end() || it->second.end() < piece.end()) return false;
  if (it->second.image + (piece.start - it->first) != piece.image) return false;
  drop(piece.start, piece.end());
  return true;
}

std::pair<uint64_t, uint64_t> PendingPages::gap(uint64_t address, uint64_t low, uint64_t high) const {
  const auto before = at_or_before(address);
  const auto behind = pieces_.upper_bound(address);
  if (before != pieces_.end()) low = std::max(low, before->second.end());
  if (behind != pieces_.end()) high = std::min(high, behind->first);
  return {low, high};
}

bool PendingPages::overlaps(uint64_t start, uint64_t end) const {
  return gap(start, start, end) != std::pair(start, end);
}

/// Makes `address` a border between pieces.
void PendingPages::split(uint64_t address) {
  const auto it = pieces_.upper_bound(address);
  if (it == pieces_.begin()) return;
  Piece& piece = std::prev(it)->second;
  if (piece.start == address || piece.end() <= address) return;
  const Piece tail = piece.after(address - piece.start);
  piece = piece.first(address - piece.start);
  pieces_.emplace_hint(it, tail.start, tail);
}

void PendingPages::drop(uint64_t start, uint64_t end) {
  if (start >= end) return;
  split(start);
  split(end);
  const auto first = pieces_.lower_bound(start);
  const auto last = pieces_.lower_bound(end);
  for (auto it = first; it != last; ++it) bytes_ -= it->second.size;
  pieces_.erase(first, last);
}

void PendingPages::move(uint64_t from, uint64_t to, uint64_t size) {
  split(from);
  split(from + size);
  std::vector<Piece> moved;
  for (auto it = pieces_.lower_bound(from); it != pieces_.end() && it->first < from + size; ++it)
    moved.push_back({it->second.start - from + to, it->second.size, it->second.image});
  drop(from, from + size);
  drop(to, to + size);
  for (const Piece& piece : moved) add(piece);
}

void PendingPages::drop_image(uint64_t start, uint64_t end) {
  std::vector<std::pair<uint64_t, uint64_t>> now;
  for (const auto& [at, piece] : pieces_) {
    const uint64_t low = std::max(start, piece.image);
    const uint64_t high = std::min(end, piece.image + piece.size);
    if (low < high) now.emplace_back(at + (low - piece.image), at + (high - piece.image));
  }
  for (const auto& [low, high] : now) drop(low, high);
}

}  // namespace coldstart
