// SPDX-License-Identifier: Apache-2.0
// What the threads of a page server do: answering faults, pushing what nobody asked for yet, and reading
// ahead.
#include <algorithm>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <sys/epoll.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/memory/page_server.h"

namespace coldstart {

namespace {

// How long a pusher waits when a process changes its mappings: the kernel does not tell when it is done with
// that.
constexpr auto while_changing = std::chrono::microseconds(200);
// How often a pusher leaves to other servers what they have begun to bring into the shared copy.
constexpr size_t patience = 50;

}  // namespace

void PageServer::answer_faults() {
  for (;;) {
    epoll_event event{};
    const int n = ::epoll_wait(epoll_.get(), &event, 1, -1);
    if (n < 0 && errno != EINTR) throw Error::sys("cannot wait for page faults");
    if (n <= 0) continue;
    if (event.data.u64 == 0) return;  // stopper_
    answer(event.data.u64);
  }
}

void PageServer::answer(uint64_t id) {
  std::shared_ptr<AddressSpace> space;
  {
    const std::lock_guard lock(mutex_);
    const auto it = spaces_.find(id);
    if (it == spaces_.end()) return;
    space = it->second;
  }
  std::vector<std::shared_ptr<AddressSpace>> children = space->serve();
  const bool forked = !children.empty();
  for (auto& child : children) adopt(std::move(child));
  if (forked) {
    {
      const std::lock_guard lock(mutex_);
      forked_ = true;
    }
    tell_main();
  }
  if (!space->watch(epoll_.get(), id)) retire(id);
}

/// The address space behind the given one, in turn; none if there are none.
std::pair<uint64_t, std::shared_ptr<AddressSpace>> PageServer::next_to_push(uint64_t behind) {
  auto it = spaces_.upper_bound(behind);
  if (it == spaces_.end()) it = spaces_.begin();
  if (it == spaces_.end()) return {};
  return *it;
}

std::vector<PageRange> PageServer::pinned_ranges() const {
  constexpr uint64_t most_pages = 1 << 20;
  std::vector<PageRange> ranges;
  for (const PinnedMapping& m : options_.pinned)
    for (uint64_t at = m.start; at < m.end; at += ranges.back().bytes())
      ranges.push_back({at, m.pid, static_cast<uint32_t>(std::min((m.end - at) / page_size, most_pages))});
  return ranges;
}

/// What must still come from afar before anything runs, and then what must be read of the working set.
std::vector<PageRange> PageServer::first_to_read() const {
  std::vector<PageRange> ranges;
  if (pages_->is_far()) ranges = pinned_ranges();
  std::map<uint32_t, SharedProcess> processes;
  for (const PageRange& range : options_.first.ranges) {
    if (!shared_) {
      ranges.push_back(range);
      continue;
    }
    const SharedProcess& process = processes.try_emplace(range.pid, shared_, range.pid).first->second;
    const SharedMapping* m = process.find(range.address);
    const bool is_there = m != nullptr && range.address + range.bytes() <= m->end &&
                          shared_->has(*m, range.address, range.bytes());
    if (!is_there) ranges.push_back(range);
  }
  return ranges;
}

/// Begins while CRIU is still at work.
void PageServer::read_ahead() {
  const auto stop = [this] {
    const std::lock_guard lock(mutex_);
    return stop_;
  };
  const auto arrived = [this](const std::vector<PageRange>& ranges) {
    {
      const std::lock_guard lock(mutex_);
      arrived_.insert(arrived_.end(), ranges.begin(), ranges.end());
    }
    work_.notify_all();
  };
  try {
    // With a full copy, the little that is not shared is not worth fetching all the rest from afar.
    if (!pages_->is_far() || !shared_ || !shared_->full() || !options_.pinned.empty())
      pages_->prefetch(first_to_read(), stop, arrived);
  } catch (const Error& e) {
    log::debug("reading ahead ended: {}", e.message());  // whoever needs it is told why
  }
  {
    const std::lock_guard lock(mutex_);
    coming_ = false;
  }
  work_.notify_all();
}

/// What comes from afar, as it comes: who pushed something else would wait for it, and what is near would
/// wait too.
void PageServer::push_arrived(MutableByteSpan scratch) {
  for (;;) {
    PageRange range;
    std::shared_ptr<AddressSpace> space;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] {
        return stop_ || filled_ || !arrives_locked() || (may_push_locked() && !arrived_.empty());
      });
      if (stop_ || filled_ || !arrives_locked()) return;
      range = arrived_.front();
      arrived_.pop_front();
      space = space_of_locked(range.pid);
    }
    if (space) space->push(range, scratch);
  }
}

std::shared_ptr<AddressSpace> PageServer::space_of_locked(uint32_t pid) const {
  const auto it = restored_spaces_.find(pid);
  return it != restored_spaces_.end() ? it->second.lock() : nullptr;
}

void PageServer::push_first(MutableByteSpan scratch) {
  for (;;) {
    PageRange range;
    std::shared_ptr<AddressSpace> space;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] { return stop_ || may_push_locked(); });
      if (stop_ || next_first_ == options_.first.ranges.size()) return;
      range = options_.first.ranges[next_first_++];
      space = space_of_locked(range.pid);
    }
    if (space) space->push(range, scratch);
  }
}

void PageServer::push_pages() {
  Bytes scratch(options_.push_bytes);
  push_first(scratch);
  push_arrived(scratch);
  uint64_t last = 0;
  size_t idle = 0;  // address spaces that had nothing to push, one after the other
  for (;;) {
    std::shared_ptr<AddressSpace> space;
    {
      std::unique_lock lock(mutex_);
      if (may_push_locked() && idle > 0 && idle >= spaces_.size()) work_.wait_for(lock, while_changing);
      work_.wait(lock, [&] { return stop_ || filled_ || (may_push_locked() && !spaces_.empty()); });
      // With shared memory the server lives as long as the replica, but nothing will be pending again.
      if (stop_ || filled_) return;
      std::tie(last, space) = next_to_push(last);
    }
    idle = space->push(scratch, idle >= patience) == AddressSpace::Push::filled ? 0 : idle + 1;
    if (space->finished()) retire(last);
    if (shared_ && idle > 0) tell_if_filled();
  }
}

/// Who is forked from now on has nothing to wait for either.
void PageServer::tell_if_filled() {
  const std::lock_guard lock(mutex_);
  if (filled_ || !restored_ || !shares_) return;
  for (const auto& [id, space] : spaces_)
    if (!space->filled()) return;
  filled_ = true;
  work_.notify_all();
  open_file(options_.work_folder / memory_filled_file, O_WRONLY | O_CREAT);
}

}  // namespace coldstart
