// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/weights_finder.h"

#include <algorithm>
#include <bit>

namespace coldstart {

namespace {

constexpr uint64_t page_bytes = 4096;
/// So many pages that begin alike are no weights.
constexpr ptrdiff_t most_alike = 64;
/// Fewer are not worth a chunk more in the map.
constexpr uint64_t least_pages = 4;
/// A place in a cell from which less of it is left is not looked at; the next page will be.
constexpr uint64_t least_left = 512;

/// What allocators of tensors align to; where a shard begins within one, it is at least so far in.
constexpr uint64_t sparse = 64;

uint64_t hash_of(const std::byte* at) {
  return (load<uint64_t>(at) * 0x9E3779B97F4A7C15U ^ load<uint64_t>(at + 8)) * 0xD6E8FEB86659FD93U;
}

/// How many bytes are the same from the start.
uint64_t equal_bytes(const std::byte* a, const std::byte* b, uint64_t most) {
  uint64_t n = 0;
  while (n + page_bytes <= most && std::memcmp(a + n, b + n, page_bytes) == 0) n += page_bytes;
  return static_cast<uint64_t>(std::mismatch(a + n, a + std::min(most, n + page_bytes), b + n).first - a);
}

}  // namespace

WeightsFinder::WeightsFinder(std::vector<ByteSpan> memory) : memory_(std::move(memory)) {
  uint64_t pages = 0;
  for (const ByteSpan& piece : memory_) {
    first_pages_.push_back(pages);
    pages += piece.size() / page_bytes;
  }
  if (pages > UINT32_MAX) throw Error("there is more memory than a snapshot can hold");
  taken_.resize(pages);
  maybe_.resize(std::bit_ceil(pages * 32 + 64));
  index_.reserve(pages);
  uint32_t number = 0;
  for (const ByteSpan& piece : memory_)
    for (uint64_t at = 0; at < piece.size(); at += page_bytes, ++number) {
      const uint64_t hash = hash_of(piece.data() + at);
      index_.emplace_back(hash, number);
      maybe_[place_of(hash)] = true;
    }
  std::sort(index_.begin(), index_.end());
}

/// And the end of the piece of memory that it is in.
const std::byte* WeightsFinder::page(uint64_t number, const std::byte** end) const {
  const auto it = std::prev(std::upper_bound(first_pages_.begin(), first_pages_.end(), number));
  const ByteSpan piece = memory_[static_cast<size_t>(it - first_pages_.begin())];
  *end = piece.data() + piece.size();
  return piece.data() + (number - *it) * page_bytes;
}

/// The work on one cell of a file.
class WeightsFinder::InCell {
 public:
  InCell(WeightsFinder& finder, const WeightsFile& file, size_t cell, ByteSpan bytes, const Digest* digest)
      : finder_(finder), file_(file), start_(file.cells[cell].offset), bytes_(bytes), digest_(digest) {}

  /// What goes on from the cell before.
  void go_on() {
    std::vector<Match> ended;
    std::erase_if(finder_.matches_, [&](Match& match) {
      if (extend(match, 0)) return false;
      ended.push_back(std::move(match));
      return true;
    });
    for (Match& match : ended) finder_.close(std::move(match));
  }

  void look(uint64_t step) {
    auto tensor = std::upper_bound(file_.tensors.begin(), file_.tensors.end(), start_);
    if (tensor != file_.tensors.begin()) --tensor;
    for (uint64_t at = 0; at + least_left <= bytes_.size(); at += step) {
      const auto next = [&] { return std::next(tensor); };
      while (tensor != file_.tensors.end() && next() != file_.tensors.end() && *next() <= start_ + at)
        tensor = next();
      if (at < covered_ && !is_beginning(tensor, start_ + at)) {
        // Up to where nothing goes on, or the next tensor begins.
        uint64_t skip_to = covered_;
        const auto after = tensor != file_.tensors.end() && *tensor <= start_ + at ? next() : tensor;
        if (after != file_.tensors.end()) skip_to = std::min(skip_to, *after - start_);
        at = std::max(at + step, (skip_to + step - 1) / step * step) - step;
        continue;
      }
      try_at(at);
      // Far from where something begins or ended, only what is aligned as
      // allocators do it, or goes on behind a change.
      if (start_ + at >= finder_.dense_until_ && !is_beginning(tensor, start_ + at)) {
        const bool has_tensor = tensor != file_.tensors.end() && *tensor <= start_ + at;
        const uint64_t into = start_ + at - (has_tensor ? *tensor : 0);
        const uint64_t to_phase = page_bytes - (start_ + at + page_bytes - finder_.phase_) % page_bytes;
        at += std::min(sparse - into % sparse, to_phase) - step;
      }
    }
  }

  bool is_needed() const { return is_needed_; }

 private:
  bool is_beginning(std::vector<uint64_t>::const_iterator tensor, uint64_t offset) const {
    return tensor != file_.tensors.end() && *tensor <= offset && offset < *tensor + page_bytes;
  }

  void try_at(uint64_t at) {
    const uint64_t hash = hash_of(bytes_.data() + at);
    if (!finder_.maybe_[finder_.place_of(hash)]) return;
    const auto& index = finder_.index_;
    const auto first = std::lower_bound(index.begin(), index.end(), std::pair(hash, uint32_t{0}));
    auto last = first;
    while (last != index.end() && last->first == hash && last - first <= most_alike) ++last;
    if (last - first > most_alike) return;
    for (auto it = first; it != last; ++it) begin(it->second, at);
  }

  /// A page whose first bytes are those at `at`.
  void begin(uint32_t number, uint64_t at) {
    if (finder_.taken_[number]) return;
    Match match{number, nullptr, nullptr, nullptr, {}};
    match.first = match.next = finder_.page(number, &match.end);
    for (const Match& other : finder_.matches_)
      if (other.first <= match.first && match.first < other.next) return;
    const uint64_t wanted = std::min<uint64_t>(page_bytes, bytes_.size() - at);
    if (equal_bytes(match.first, bytes_.data() + at, wanted) < wanted) return;
    finder_.phase_ = (start_ + at) % page_bytes;
    if (extend(match, at))
      finder_.matches_.push_back(std::move(match));
    else
      finder_.close(std::move(match));
  }

  /// False if it ends here.
  bool extend(Match& match, uint64_t at) {
    const auto there = static_cast<uint64_t>(match.end - match.next);
    const uint64_t most = std::min<uint64_t>(bytes_.size() - at, there);
    const uint64_t n = equal_bytes(match.next, bytes_.data() + at, most);
    if (n > 0) match.parts.push_back({digest_, static_cast<uint32_t>(at), static_cast<uint32_t>(n)});
    match.next += n;
    covered_ = std::max(covered_, at + n);
    finder_.dense_until_ = std::max(finder_.dense_until_, start_ + at + n + page_bytes);
    if (static_cast<uint64_t>(match.next - match.first) >= least_pages * page_bytes ||
        at + n == bytes_.size())
      is_needed_ = is_needed_ || n > 0;
    return at + n == bytes_.size() && match.next < match.end;
  }

  WeightsFinder& finder_;
  const WeightsFile& file_;
  const uint64_t start_;
  const ByteSpan bytes_;
  const Digest* const digest_;
  uint64_t covered_ = 0;  // some match goes on up to here
  bool is_needed_ = false;
};

void WeightsFinder::look_for(const WeightsFile& file, PackWriter& writer, Operation& op) {
  const bool is_aligned =
      std::all_of(file.tensors.begin(), file.tensors.end(), [](uint64_t at) { return at % 8 == 0; });
  uint64_t end = 0;
  dense_until_ = 0;
  const auto close_all = [this] {
    for (Match& match : std::exchange(matches_, {})) close(std::move(match));
  };
  for (size_t i = 0; i < file.cells.size(); ++i) {
    op.cancel.check();
    const WeightsFile::Cell& cell = file.cells[i];
    if (cell.offset != end) {  // a hole
      close_all();
      dense_until_ = cell.offset + page_bytes;
    }
    end = cell.offset + cell.bytes;
    Bytes bytes = file.read(i);
    Digest& digest = digests_.emplace_back(cell.digest.value_or(Digest{}));
    InCell work(*this, file, i, bytes, &digest);
    work.go_on();
    work.look(is_aligned ? 8 : 1);
    op.progress.advance(cell.bytes);
    if (!cell.digest && work.is_needed()) writer.put(std::move(bytes), &digest);
  }
  close_all();
}

/// Keeps its whole pages, up to the first that belongs to another one.
void WeightsFinder::close(Match match) {
  uint64_t pages = static_cast<uint64_t>(match.next - match.first) / page_bytes;
  for (uint64_t i = 0; i < pages; ++i)
    if (taken_[match.first_page + i]) pages = i;
  if (pages < least_pages) return;
  FoundPages found{static_cast<uint32_t>(pages), {}};
  uint64_t left = pages * page_bytes;
  for (FoundPages::Part part : match.parts) {
    if (left == 0) break;
    part.bytes = static_cast<uint32_t>(std::min<uint64_t>(part.bytes, left));
    left -= part.bytes;
    found.parts.push_back(part);
  }
  for (uint64_t i = 0; i < pages; ++i) taken_[match.first_page + i] = true;
  bytes_ += pages * page_bytes;
  found_.emplace(match.first, std::move(found));
}

const FoundPages* WeightsFinder::at(const std::byte* page) const {
  const auto it = found_.find(page);
  return it == found_.end() ? nullptr : &it->second;
}

}  // namespace coldstart
