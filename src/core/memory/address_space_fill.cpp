// SPDX-License-Identifier: Apache-2.0
// How pages come into an address space: as answers to faults, and pushed.

#include <algorithm>
#include <exception>
#include <optional>

#include "core/memory/address_space.h"

namespace coldstart {

namespace {

// What is mapped from the shared copy at once when nobody waits for it: no byte is copied.
constexpr uint64_t most_mapped_at_once = uint64_t{2} << 20;

}  // namespace

void AddressSpace::give(const Answer& answer) {
  if (answer.piece)
    give_piece(answer);
  else if (answer.low < answer.high)
    give_zeros(answer);
  // The kernel wakes those whose page it has filled just now. Others wait, too: where nothing could be filled
  // (they fault again and find out how things are by then), and where the page was there already: while
  // another thread copies it on write there is none for a moment, and the kernel lets in whoever looks then.
  userfault_.wake(answer.page, page_size);
}

void AddressSpace::give_piece(const Answer& answer) {
  std::vector<Piece> left;
  const std::optional<Content> content = content_of(*answer.piece, scratch_, true);
  const Fill why = fill(*answer.piece, *content, left, counters_.fault_pages);
  give_back(answer.again ? std::vector<Piece>() : left, why);
}

void AddressSpace::give_zeros(const Answer& answer) {
  FillResult zeros = userfault_.zero(answer.low, answer.high - answer.low);
  counters_.zero_pages += zeros.bytes / page_size;
  // Something is in the way: then only the page itself.
  if (answer.low + zeros.bytes <= answer.page && zeros.why != Fill::gone) {
    zeros = userfault_.zero(answer.page, page_size);
    counters_.zero_pages += zeros.bytes / page_size;
  }
  if (zeros.why == Fill::gone) give_back({}, Fill::gone);
}

/// Nobody waits for these, and none of them need be there. Nothing is pending among them that could be given
/// back.
void AddressSpace::map_around(const Answer& answer) {
  const SharedMapping* m = shared_->find(answer.around->image);
  if (m == nullptr || !shared_->pages().has(*m, answer.around->image, answer.around->size)) return;
  const uint64_t before = answer.piece->start - answer.around->start;
  std::vector<Piece> left;
  for (const Piece& piece : {answer.around->first(before), answer.around->after(before + answer.piece->size)})
    if (piece.size > 0 && fill(piece, Content{{}, true}, left, counters_.fault_pages) == Fill::gone)
      return give_back({}, Fill::gone);
}

/// Gets it ready; nothing if another server is just bringing it into the shared copy (never if it is to
/// `insist`). A piece of the shared copy for which the host has no room is copied.
std::optional<AddressSpace::Content> AddressSpace::content_of(const Piece& piece, MutableByteSpan scratch,
                                                              bool insist) {
  const SharedMapping* m = shared_ ? shared_->find(piece.image) : nullptr;
  if (m != nullptr) {
    switch (shared_->pages().fill(*m, piece.image, piece.size, *source_, scratch, insist)) {
      case SharedPages::Filled::present:
        return Content{{}, true};
      case SharedPages::Filled::busy:
        return std::nullopt;
      case SharedPages::Filled::no_room:
        break;
    }
  }
  return Content{source_->view(piece.image, std::min<uint64_t>(piece.size, scratch.size()), scratch), false};
}

/// Fills what can be; `left` is what cannot be now.
Fill AddressSpace::fill(Piece piece, Content content, std::vector<Piece>& left,
                        std::atomic<uint64_t>& count) {
  if (!content.shared && content.bytes.size() < piece.size) {  // no room for all of it in the shared copy
    left.push_back(piece.after(content.bytes.size()));
    piece = piece.first(content.bytes.size());
  }
  uint64_t step = piece.size;
  const auto skip = [&](uint64_t n) {
    piece = piece.after(n);
    if (!content.shared) content.bytes = content.bytes.subspan(n);
  };
  while (piece.size > 0) {
    const uint64_t size = std::min(step, piece.size);
    const FillResult result = content.shared ? userfault_.map(piece.start, size)
                                             : userfault_.copy(piece.start, content.bytes.first(size));
    count += result.bytes / page_size;
    if (content.shared) counters_.shared_pages += result.bytes / page_size;
    skip(result.bytes);
    switch (result.why) {
      case Fill::done:
        step = piece.size;
        break;
      case Fill::present:
        skip(page_size);
        break;
      case Fill::changing:
        left.push_back(piece);
        return Fill::changing;
      case Fill::gone:
        return Fill::gone;
      case Fill::unmapped:
        // The mapping was split (mprotect, madvise) or a part of it is gone: find out where.
        if (const uint64_t tried = size - result.bytes; tried > page_size)
          step = page_of(tried / 2 + page_size - 1);
        else
          skip(page_size);
    }
  }
  return Fill::done;
}

/// Ends a fill: what is left is pending again; a process that is gone needs nothing more.
void AddressSpace::give_back(const std::vector<Piece>& left, Fill why) {
  const std::lock_guard lock(mutex_);
  for (const Piece& piece : left) map_.pending.add(piece);
  if (why != Fill::gone) return;
  lose();
}

/// The process is gone. Called with mutex_ held.
void AddressSpace::lose() {
  map_ = {};
  gone_ = true;
  may_finish_ = true;
}

AddressSpace::Push AddressSpace::push(MutableByteSpan scratch, bool insist) {
  std::optional<Piece> piece;
  {
    const std::lock_guard lock(mutex_);
    piece = map_.pending.next(cursor_, most_mapped_at_once);
    if (!piece) return Push::nothing;
    if (!shared_ || shared_->find(piece->image) == nullptr)
      piece = piece->first(std::min<uint64_t>(piece->size, scratch.size()));
    cursor_ = piece->end();  // so that another pusher takes the next one
  }
  return push(*piece, scratch, insist);
}

AddressSpace::Push AddressSpace::push(const PageRange& range, MutableByteSpan scratch) {
  const uint64_t end = range.address + range.bytes();
  for (uint64_t at = range.address; at < end;) {
    std::optional<Piece> piece;
    {
      const std::lock_guard lock(mutex_);
      piece = map_.pending.next(at, std::min<uint64_t>(end - at, scratch.size()));
    }
    if (!piece || piece->start < at || piece->start >= end || piece->image != piece->start) break;
    const Push result = push(piece->first(std::min(piece->size, end - piece->start)), scratch, true);
    if (result != Push::filled) return result;
    at = piece->end();
  }
  return Push::filled;
}

/// One piece that was pending when it was looked up.
AddressSpace::Push AddressSpace::push(const Piece& piece, MutableByteSpan scratch, bool insist) {
  // Before the claim, as this may wait for a disk, and the reader waits for claims.
  const std::optional<Content> content = content_of(piece, scratch, insist);
  if (!content) return Push::blocked;
  {
    std::unique_lock lock(mutex_);
    not_reading_.wait(lock, [&] { return !reading_; });
    if (!map_.pending.claim(piece)) return Push::filled;  // it was filled or moved meanwhile
    ++filling_;
  }
  Fill why = Fill::gone;
  std::vector<Piece> left;
  std::exception_ptr failure;
  try {
    why = fill(piece, *content, left, counters_.pushed_pages);
  } catch (...) {
    failure = std::current_exception();
    left = {piece};
    why = Fill::changing;
  }
  give_back(left, why);
  {
    const std::lock_guard lock(mutex_);
    if (--filling_ == 0) no_fillers_.notify_all();
    end_if_filled();
  }
  if (failure) std::rethrow_exception(failure);
  return why == Fill::changing ? Push::blocked : Push::filled;
}

}  // namespace coldstart
