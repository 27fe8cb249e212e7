// SPDX-License-Identifier: Apache-2.0
// Who gets which slot: claims, leases, their ends. What keeps slots ready is in upkeep.cpp.
#include "core/pool/pool.h"

#include <algorithm>

#include <fmt/format.h>
#include <poll.h>

#include "core/base/log.h"
#include "core/base/subprocess.h"

namespace coldstart {

namespace {

bool readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) > 0;
}

}  // namespace

double PoolStatus::hit_rate() const {
  const uint64_t all = claims + timeouts;
  return all == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(all);
}

Pool::Pool(PoolOptions options, PoolWorld world, Journal& journal, const CancelToken& cancel)
    : options_(options), world_(std::move(world)), journal_(journal), cancel_(cancel) {}

Pool::~Pool() {
  for (auto& [number, entry] : entries_)
    if (entry.state == State::claimed && entry.slot) entry.slot->let_go();
}

void Pool::adopt() {
  for (Lease& lease : journal_.read()) {
    std::shared_ptr<Slot> slot = world_.find(lease.slot);
    if (!slot) {
      journal_.remove(lease.slot.id);
      continue;
    }
    Entry entry;
    entry.state = State::claimed;
    entry.slot = std::move(slot);
    entry.made = world_.now();
    entry.lease = std::move(lease);
    entry.lease.at_end = LeaseEnd::end;
    entry.adopted = true;
    const Number number = next_number_++;
    const Lease& kept = entries_.emplace(number, std::move(entry)).first->second.lease;
    if (kept.holder == 0) continue;
    entries_[number].holder = holder_fd(kept.holder, kept.holder_started);
    if (!entries_[number].holder) discard(number);
  }
}

uint64_t Pool::claim(const ClaimRequest& request, ClaimReply reply) {
  if (totals_.draining) {
    reply({{}, 0, 0, Error("the pool is being drained", "start another one", Exit::empty)});
    return 0;
  }
  const double now = world_.now();
  forecast_.claimed(now);
  const uint64_t ticket = next_ticket_++;
  waiting_.push_back({ticket, now, request, std::move(reply)});
  serve_waiting();
  if (!waiting_.empty()) waiting_.back().waited = true;
  if (!waiting_.empty()) refill();
  if (request.timeout <= 0) expire();
  return ticket;
}

void Pool::withdraw(uint64_t ticket) {
  std::erase_if(waiting_, [&](const Waiting& w) { return w.ticket == ticket; });
  if (const auto it = starting_.find(ticket); it != starting_.end()) it->second = true;
}

std::optional<Pool::Number> Pool::oldest_idle() const {
  for (const auto& [number, entry] : entries_)
    if (entry.state == State::idle) return number;
  return std::nullopt;
}

void Pool::serve_waiting() {
  while (!waiting_.empty()) {
    const std::optional<Number> number = oldest_idle();
    if (!number) return;
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    hand_over(*number, std::move(first));
  }
}

/// The lease is on disk before the replica runs: whatever happens to us, somebody knows of it.
void Pool::hand_over(Number number, Waiting claim) {
  Entry& entry = entries_.at(number);
  try {
    entry.lease = {entry.slot->identity(), claim.request.holder, 0, claim.request.at_end};
    if (claim.request.holder != 0) {
      entry.holder = holder_fd(claim.request.holder, 0);
      entry.lease.holder_started = start_time_of(claim.request.holder);
      if (!entry.holder || entry.lease.holder_started == 0)
        throw Error::usage(fmt::format("there is no process {} to hold the lease", claim.request.holder));
    }
    journal_.write(entry.lease);
  } catch (const Error& e) {  // the slot is none the worse
    entry.holder.reset();
    claim.reply({{}, 0, 0, e});
    return;
  }
  entry.state = State::starting;
  entry.ticket = claim.ticket;
  if (entry.slot->claims_at_once()) {
    std::exception_ptr failure;
    try {
      if (entry.slot->has_ended()) throw Error("it has ended");
      entry.slot->claim(cancel_);
    } catch (...) {
      failure = std::current_exception();
    }
    handed_over(number, std::move(claim), failure);
    return;
  }
  starting_[claim.ticket] = false;
  const auto shared = std::make_shared<Waiting>(std::move(claim));
  world_.run(
      PoolWorld::Work::claim, [slot = entry.slot, &cancel = cancel_] { slot->claim(cancel); },
      [this, number, shared](const std::exception_ptr& failure) {
        handed_over(number, std::move(*shared), failure);
        serve_waiting();
      });
}

void Pool::handed_over(Number number, Waiting claim, const std::exception_ptr& failure) {
  Entry& entry = entries_.at(number);
  bool withdrawn = false;
  if (const auto it = starting_.find(claim.ticket); it != starting_.end()) {
    withdrawn = it->second;
    starting_.erase(it);
  }
  if (failure) {  // the next slot's turn; the claim keeps its place
    ill(number, what_of(failure));
    if (!withdrawn) waiting_.push_front(std::move(claim));
    return;
  }
  failures_in_a_row_ = 0;
  entry.state = State::claimed;
  if (const SlotIdentity now = entry.slot->identity(); now.pid != entry.lease.slot.pid) {
    entry.lease.slot = now;
    journal_.write(entry.lease);
  }
  if (withdrawn) {
    lease_over(number, entry.lease.at_end);
    return;
  }
  ++totals_.claims;
  if (!claim.waited) ++totals_.hits;
  const double seconds = world_.now() - claim.since;
  totals_.claim_seconds += seconds;
  const SlotIdentity identity = entry.lease.slot;
  claim.reply({identity, seconds, claim.ticket, std::nullopt});
}

Pool::Number Pool::find_lease(const std::string& id) const {
  for (const auto& [number, entry] : entries_)
    if (entry.state == State::claimed && entry.lease.slot.id == id) return number;
  return 0;
}

void Pool::release(const std::string& id, LeaseEnd end) {
  const Number number = find_lease(id);
  if (number == 0) throw Error::not_found("no replica '" + id + "' is claimed", "coldstart pool status");
  lease_over(number, end);
}

void Pool::holder_gone(uint64_t ticket) {
  for (const auto& [number, entry] : entries_)
    if (entry.state == State::claimed && entry.ticket == ticket) {
      lease_over(number, entry.lease.at_end);
      return;
    }
}

void Pool::lease_over(Number number, LeaseEnd end) {
  Entry& entry = entries_.at(number);
  entry.holder.reset();
  const bool room = count(State::idle) + count(State::taking_back) < options_.max;
  if (end == LeaseEnd::give_back && room && !entry.adopted && !totals_.draining)
    take_back(number);
  else
    discard(number);
}

/// Until it is idle again the lease stays on disk: killed now, we leave a replica that a later service ends.
void Pool::take_back(Number number) {
  Entry& entry = entries_.at(number);
  entry.state = State::taking_back;
  world_.run(
      PoolWorld::Work::check, [slot = entry.slot, &cancel = cancel_] { slot->take_back(cancel); },
      [this, number](const std::exception_ptr& failure) {
        if (failure) {
          ill(number, what_of(failure));
          return;
        }
        Entry& e = entries_.at(number);
        journal_.remove(e.lease.slot.id);
        e.state = State::idle;
        e.checked = world_.now();
        if (totals_.draining) discard(number);
        serve_waiting();
      });
}

void Pool::ill(Number number, const std::string& why) {
  if (!totals_.draining) {  // else it may have been our haste
    ++totals_.unhealthy;
    log::warn("the slot {} is unhealthy: {}", entries_.at(number).slot->identity().id, why);
    failed(why);
  }
  discard(number);
}

void Pool::discard(Number number) {
  Entry& entry = entries_.at(number);
  if (entry.state == State::ending) return;
  entry.state = State::ending;
  entry.holder.reset();
  const std::string id = entry.slot->identity().id;
  // The worker's is the last reference: destroying it is the work.
  const auto last = std::make_shared<std::shared_ptr<Slot>>(std::move(entry.slot));
  world_.run(
      PoolWorld::Work::end, [last] { last->reset(); },
      [this, number, id](const std::exception_ptr&) {
        journal_.remove(id);
        entries_.erase(number);
      });
}

void Pool::expire() {
  const double now = world_.now();
  std::vector<Waiting> late;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (it->since + it->request.timeout <= now) {
      late.push_back(std::move(*it));
      it = waiting_.erase(it);
    } else {
      ++it;
    }
  }
  for (const Waiting& w : late) {
    ++totals_.timeouts;
    w.reply({{},
             now - w.since,
             w.ticket,
             Error(fmt::format("no slot became idle within {:g} s: {}", w.request.timeout, why_empty()),
                   "wait longer (--timeout), or keep more slots (--min, --max)", Exit::empty)});
  }
}

std::string Pool::why_empty() const {
  if (no_memory_) return "there is no memory for another one";
  if (failures_in_a_row_ > 0) return totals_.last_failure;
  return fmt::format("{} claims wait, {} slots are being made", waiting_.size() + 1, count(State::warming));
}

void Pool::look_after_leases() {
  std::vector<Number> over;
  for (const auto& [number, entry] : entries_)
    if (entry.state == State::claimed && entry.holder && readable(entry.holder.get())) over.push_back(number);
  for (const Number number : over) lease_over(number, entries_.at(number).lease.at_end);
}

void Pool::step() {
  look_after_leases();
  drop_dead();
  serve_waiting();
  expire();
  if (!totals_.draining) {
    retire();
    check_one();
  }
  refill();
}

void Pool::drain() {
  totals_.draining = true;
  for (const Waiting& w : std::exchange(waiting_, {}))
    w.reply({{}, 0, 0, Error("the pool is being drained", "start another one", Exit::empty)});
  std::vector<Number> idle;
  for (const auto& [number, entry] : entries_)
    if (entry.state == State::idle) idle.push_back(number);
  for (const Number number : idle) discard(number);
}

void Pool::end_all() {
  drain();
  std::vector<Number> claimed;
  for (const auto& [number, entry] : entries_)
    if (entry.state == State::claimed) claimed.push_back(number);
  for (const Number number : claimed) discard(number);
}

size_t Pool::count(State state) const {
  return static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(),
                                           [&](const auto& e) { return e.second.state == state; }));
}

PoolStatus Pool::status() const {
  PoolStatus s = totals_;
  s.idle = count(State::idle);
  s.warming = count(State::warming);
  s.checking = count(State::checking) + count(State::taking_back);
  s.claimed = count(State::claimed) + count(State::starting);
  s.ending = count(State::ending);
  s.waiting = waiting_.size();
  if (failures_in_a_row_ == 0) s.last_failure.clear();
  if (no_memory_) s.last_failure = "there is no memory for another slot";
  for (const auto& [number, entry] : entries_)
    if (entry.state == State::claimed) s.leases.push_back(entry.lease);
  return s;
}

}  // namespace coldstart
