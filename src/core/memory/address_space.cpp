// SPDX-License-Identifier: Apache-2.0
#include "core/memory/address_space.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include <poll.h>
#include <sys/epoll.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/memory/huge_pages.h"
#include "core/memory/pinned_memory.h"

namespace coldstart {

namespace {

// How long the event that frees a place may come behind the one that takes it: the thread that has to tell is
// on its way, but may have lost its processor.
constexpr auto longest_disorder = std::chrono::milliseconds(200);
// How long a fork waits for all that was before it to be told. Others may go on changing their mappings for
// ever.
constexpr auto longest_wait_of_fork = std::chrono::milliseconds(10);

}  // namespace

struct AddressSpace::Batch {
  std::vector<uint64_t> faults;  // pages
  std::vector<Answer> answers;
  std::vector<Fd> unborn;  // forked, but where what is memory of theirs has yet to be told
  std::vector<std::shared_ptr<AddressSpace>> children;
  std::vector<ServedMemory::Move> moves_before;  // told before the first child, all else not being told yet
  std::vector<ServedMemory::Move> moves;         // told since
};

AddressSpace::AddressSpace(Fd fd, std::shared_ptr<const PageSource> source, FillCounters& counters,
                           std::shared_ptr<const SharedProcess> shared,
                           const std::vector<PinnedMapping>& pinned)
    : userfault_(std::move(fd)),
      source_(std::move(source)),
      shared_(std::move(shared)),
      counters_(counters),
      scratch_(neighbourhood) {
  const auto ours = [&](const Piece& p) { return !shared_ || shared_->find(p.image) == nullptr; };
  const auto is_pinned = [&](const Piece& p) {
    return std::any_of(pinned.begin(), pinned.end(),
                       [&](const PinnedMapping& m) { return m.start <= p.image && p.image < m.end; });
  };
  for (const Piece& mapping : source_->mappings()) {
    if (is_pinned(mapping))
      pinned_.push_back(mapping);
    else if (ours(mapping))
      map_.add_mapping(mapping);
  }
  for (const Piece& piece : source_->pieces()) {
    if (is_pinned(piece)) continue;
    (ours(piece) ? map_.pending : later_.pending).add(piece);
    if (!ours(piece)) later_.shared.add(piece);
  }
}

AddressSpace::AddressSpace(Fd fd, const AddressSpace& parent)
    : userfault_(std::move(fd)),
      source_(parent.source_),
      shared_(parent.shared_),
      counters_(parent.counters_),
      scratch_(neighbourhood),
      map_(parent.map_.forked(source_->not_inherited())),
      cursor_(parent.cursor_) {}

/// From the copy, if that has it or can have it.
uint64_t AddressSpace::bring_pinned(pid_t pid, const Piece& mapping) {
  if (shared_)
    for (const SharedMapping& m : shared_->pinned())
      if (m.start == mapping.start)
        return coldstart::bring_pinned(pid, mapping, CopiedPages(shared_->pages(), m, *source_));
  return coldstart::bring_pinned(pid, mapping, *source_);
}

void AddressSpace::bring_pinned(pid_t pid) {
  for (const Piece& mapping : pinned_) {
    if (pid > 0) {
      userfault_.leave(mapping.start, mapping.size);
      counters_.pushed_pages += bring_pinned(pid, mapping) / page_size;
      continue;
    }
    const std::lock_guard lock(mutex_);
    map_.add_mapping(mapping);
    for (const Piece& piece : source_->pieces())
      if (mapping.start <= piece.start && piece.start < mapping.end()) map_.pending.add(piece);
  }
  const std::lock_guard lock(mutex_);
  pinned_.clear();
  end_if_filled();
}

void AddressSpace::share(pid_t pid, std::chrono::steady_clock::time_point until) {
  if (!shared_) return;
  if (pid > 0)
    for (const Piece& piece : map_huge(pid, *shared_, *source_, until))
      later_.pending.drop(piece.start, piece.end());
  const uint64_t mapped_pages = (later_.shared.bytes() - later_.pending.bytes()) / page_size;
  counters_.pushed_pages += mapped_pages;
  counters_.shared_pages += mapped_pages;
  const std::lock_guard lock(mutex_);
  for (const SharedMapping& m : shared_->mappings()) {
    userfault_.share(m.start, m.end - m.start);
    map_.add_mapping({m.start, m.end - m.start, m.start});
  }
  map_.shared.add(std::move(later_.shared));
  map_.pending.add(std::move(later_.pending));
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
    if (!answer.piece && (answer.piece = map_.shared.around(page, low, low + neighbourhood))) {
      answer.again = true;
      const uint64_t huge = page & ~(huge_page_bytes - 1);
      answer.around = map_.shared.around(page, huge, huge + huge_page_bytes);
    }
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
  for (const Answer& answer : batch.answers)
    if (answer.around) map_around(answer);
  const std::lock_guard lock(mutex_);
  answering_ = false;
  end_if_filled();
  return std::move(batch.children);
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
  if ((shared_ || !pinned_.empty()) && !gone_) return;
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
