// SPDX-License-Identifier: Apache-2.0
#include "core/memory/address_space.h"

#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include <poll.h>
#include <sys/epoll.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

// A fault brings its neighbourhood along: near what is touched more will be, and a batch costs little more
// than a page.
constexpr uint64_t neighbourhood = uint64_t{64} << 10;

// What is mapped from the shared copy at once when nobody waits for it: no byte is copied.
constexpr uint64_t most_mapped_at_once = uint64_t{2} << 20;

// How long the event that frees a place may come behind the one that takes it: the thread that has to tell is
// on its way, but may have lost its processor.
constexpr auto longest_disorder = std::chrono::milliseconds(200);
// How long a fork waits for all that was before it to be told. Others may go on changing their mappings for
// ever.
constexpr auto longest_wait_of_fork = std::chrono::milliseconds(10);

uint64_t page_of(uint64_t address) {
  return address & ~(page_size - 1);
}

}  // namespace

/// What a fault gets. Without `piece`: zeros between `low` and `high`, or nothing but a wake-up if those are
/// equal. `again`: shared pages that had been mapped before, so they are not taken out of what is pending.
struct AddressSpace::Answer {
  uint64_t page;
  uint64_t low = 0;
  uint64_t high = 0;
  std::optional<Piece> piece;
  bool again = false;
};

/// What a piece is filled with: bytes to be copied, or (none) the pages of the shared copy.
struct AddressSpace::Content {
  ByteSpan bytes;
  bool shared = false;
};

struct AddressSpace::Batch {
  std::vector<uint64_t> faults;  // pages
  std::vector<Answer> answers;
  std::vector<Fd> unborn;  // forked, but where what is memory of theirs has yet to be told
  std::vector<std::shared_ptr<AddressSpace>> children;
  std::vector<ServedMemory::Move> moves_before;  // told before the first child, all else not being told yet
  std::vector<ServedMemory::Move> moves;         // told since
};

AddressSpace::AddressSpace(Fd fd, std::shared_ptr<const PageSource> source, FillCounters& counters,
                           std::shared_ptr<const SharedProcess> shared)
    : userfault_(std::move(fd)),
      source_(std::move(source)),
      shared_(std::move(shared)),
      counters_(counters),
      scratch_(neighbourhood) {
  const auto ours = [&](const Piece& p) { return !shared_ || shared_->find(p.image) == nullptr; };
  for (const Piece& piece : source_->pieces())
    if (ours(piece)) map_.pending.add(piece);
  for (const Piece& mapping : source_->mappings())
    if (ours(mapping)) map_.add_mapping(mapping);
}

AddressSpace::AddressSpace(Fd fd, const AddressSpace& parent)
    : userfault_(std::move(fd)),
      source_(parent.source_),
      shared_(parent.shared_),
      counters_(parent.counters_),
      scratch_(neighbourhood),
      map_(parent.map_.forked(source_->not_inherited())),
      cursor_(parent.cursor_) {}

void AddressSpace::share() {
  if (!shared_) return;
  const std::lock_guard lock(mutex_);
  for (const SharedMapping& m : shared_->mappings()) {
    userfault_.share(m.start, m.end - m.start);
    map_.add_mapping({m.start, m.end - m.start, m.start});
  }
  for (const Piece& piece : source_->pieces()) {
    if (shared_->find(piece.image) == nullptr) continue;
    map_.pending.add(piece);
    map_.shared.add(piece);
  }
}

void AddressSpace::apply(const uffd_msg& message, Batch& batch) {
  switch (message.event) {
    case UFFD_EVENT_PAGEFAULT:
      batch.faults.push_back(page_of(message.arg.pagefault.address));
      break;
    case UFFD_EVENT_FORK:
      batch.unborn.emplace_back(static_cast<int>(message.arg.fork.ufd));
      break;
    case UFFD_EVENT_REMAP:
      map_.moved({message.arg.remap.from, message.arg.remap.to, message.arg.remap.len});
      if (!batch.children.empty())
        batch.moves.push_back({message.arg.remap.from, message.arg.remap.to, message.arg.remap.len});
      break;
    case UFFD_EVENT_REMOVE:
      map_.removed(message.arg.remove.start, message.arg.remove.end);
      break;
    case UFFD_EVENT_UNMAP:
      map_.unmapped(message.arg.remove.start, message.arg.remove.end);
      break;
    default:
      log::warn("an unknown userfaultfd event {:#x} is ignored", unsigned{message.event});
  }
  take_children(batch);
}

void AddressSpace::take_children(Batch& batch) {
  if (map_.waits()) return;
  if (batch.children.empty()) batch.moves_before = map_.recent_moves();
  for (Fd& fd : std::exchange(batch.unborn, {}))
    batch.children.push_back(std::shared_ptr<AddressSpace>(new AddressSpace(std::move(fd), *this)));
}

/// Reads and applies all there is; called with mutex_ held and no fillers.
void AddressSpace::read_events(Batch& batch) {
  std::vector<uffd_msg> messages;
  userfault_.read(messages);
  for (const uffd_msg& message : messages) apply(message, batch);
  if (map_.is_unsettled() && !userfault_.changing())
    map_.settle([&](uint64_t address) { return userfault_.serves(address); });
}

/// Reads on for as long as what was read cannot be understood without what comes. Called with mutex_ held and
/// no fillers.
void AddressSpace::await_order(Batch& batch) {
  const auto begun = std::chrono::steady_clock::now();
  const auto before = [&](auto limit) { return std::chrono::steady_clock::now() - begun < limit; };
  const auto waits_of_fork = [&] {
    return !batch.children.empty() && before(longest_wait_of_fork) && userfault_.changing();
  };
  while (map_.waits() || waits_of_fork()) {
    if (map_.waits() && (!userfault_.changing() || !before(longest_disorder))) {
      map_.wait_no_longer();
      take_children(batch);
      continue;
    }
    pollfd p{userfault_.fd(), POLLIN, 0};
    // Who forked is being woken just now.
    if (::poll(&p, 1, map_.waits() ? 1 : 0) < 0 && errno != EINTR)
      throw Error::sys("cannot poll a userfaultfd");
    if (p.revents == 0) std::this_thread::yield();
    read_events(batch);
  }
  for (const auto& child : batch.children)  // nobody else knows it yet
    child->map_.take_moves(batch.moves_before, batch.moves,
                           [&](uint64_t address) { return child->userfault_.serves(address); });
}

/// Reads and applies; decides the answers while no fill is under way. Called with mutex_ held and no fillers.
AddressSpace::Batch AddressSpace::read_batch() {
  Batch batch;
  read_events(batch);
  await_order(batch);
  // All zeros first: what an answer of this batch claims is no longer pending, but is not zeros either.
  for (const uint64_t page : batch.faults) {
    const uint64_t low = page & ~(neighbourhood - 1);
    Answer answer{page, 0, 0, map_.pending.around(page, low, low + neighbourhood)};
    if (!answer.piece && (answer.piece = map_.shared.around(page, low, low + neighbourhood)))
      answer.again = true;
    if (!answer.piece) {
      std::tie(answer.low, answer.high) = map_.pending.gap(page, low, low + neighbourhood);
      std::tie(answer.low, answer.high) = map_.shared.gap(page, answer.low, answer.high);
    }
    batch.answers.push_back(answer);
  }
  for (Answer& answer : batch.answers) {
    if (!answer.piece || answer.again) continue;
    if (!map_.pending.claim(*answer.piece)) answer.piece.reset();  // an answer before this one brings it
    cursor_ = page_of(answer.page) + page_size;
  }
  counters_.faults += batch.faults.size();
  return batch;
}

std::vector<std::shared_ptr<AddressSpace>> AddressSpace::serve() {
  Batch batch;
  {
    std::unique_lock lock(mutex_);
    if (finished_) return {};
    reading_ = true;
    no_fillers_.wait(lock, [&] { return filling_ == 0; });
    answering_ = true;  // stays so if this fails: then the service never ends as if all were well
    try {
      batch = read_batch();
    } catch (...) {
      reading_ = false;
      not_reading_.notify_all();
      throw;
    }
    reading_ = false;
  }
  not_reading_.notify_all();
  const auto begun = std::chrono::steady_clock::now();
  for (const Answer& answer : batch.answers) give(answer);
  if (!batch.answers.empty()) {
    const auto took = std::chrono::steady_clock::now() - begun;
    counters_.fault_nanoseconds += static_cast<uint64_t>(std::chrono::nanoseconds(took).count());
  }
  const std::lock_guard lock(mutex_);
  answering_ = false;
  end_if_filled();
  return std::move(batch.children);
}

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

bool AddressSpace::watch(int epoll, uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (finished_) return false;  // by now the number may be another descriptor's
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = id;
  check(::epoll_ctl(epoll, watched_ ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, userfault_.fd(), &event),
        "cannot watch a userfaultfd");
  watched_ = true;
  return true;
}

void AddressSpace::finish_when_filled() {
  const std::lock_guard lock(mutex_);
  may_finish_ = true;
  end_if_filled();
}

/// Called with mutex_ held. An event that is still unread then is harmless: every page is in its place, and
/// the kernel lets go of whoever waits for us.
void AddressSpace::end_if_filled() {
  if (finished_ || !may_finish_ || !map_.pending.empty() || filling_ > 0 || reading_ || answering_) return;
  if (shared_ && !gone_) return;
  userfault_.close();
  finished_ = true;
}

bool AddressSpace::lives() {
  const std::lock_guard lock(mutex_);
  if (finished_) return false;
  if (userfault_.memory_lives()) return true;
  lose();
  end_if_filled();
  return !finished_;
}

bool AddressSpace::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

bool AddressSpace::filled() const {
  const std::lock_guard lock(mutex_);
  return map_.pending.empty() && filling_ == 0 && !reading_ && !answering_;
}

uint64_t AddressSpace::pending_bytes() const {
  const std::lock_guard lock(mutex_);
  return map_.pending.bytes();
}

}  // namespace coldstart
