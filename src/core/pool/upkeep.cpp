// SPDX-License-Identifier: Apache-2.0
// What a pool does so that slots are ready: makes them, checks them, and replaces those that are dead, ill,
// old or too many.
#include <algorithm>
#include <cmath>

#include "core/base/log.h"
#include "core/pool/pool.h"

namespace coldstart {

namespace {

constexpr uint64_t memory_reserve = uint64_t{128} << 20;

/// The first two replacements come at once; one failure after the other, ever later.
double backoff(size_t failures) {
  return failures <= 2 ? 0 : std::min(30.0, 0.25 * std::pow(2, static_cast<double>(failures - 3)));
}

}  // namespace

std::string Pool::what_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    return e.what();
  }
}

void Pool::failed(const std::string& why) {
  totals_.last_failure = why;
  not_before_ = world_.now() + backoff(++failures_in_a_row_);
}

void Pool::drop_dead() {
  std::vector<Number> idle;
  std::vector<Number> claimed;
  for (const auto& [number, entry] : entries_)
    if ((entry.state == State::idle || entry.state == State::claimed) && entry.slot->has_ended())
      (entry.state == State::idle ? idle : claimed).push_back(number);
  for (const Number number : idle) ill(number, "it ended while it was idle");
  for (const Number number : claimed) discard(number);
}

bool Pool::is_old(const Entry& entry) const {
  return options_.max_age > 0 && entry.state == State::idle && world_.now() - entry.made > options_.max_age;
}

/// Those that are too many, the oldest first. An old one is too many once its replacement is there (refill()
/// does not count it), or, where there is no room for one, as soon as nothing else is missing.
void Pool::retire() {
  // Without a forecast nothing says that what was given back will not be wanted.
  const size_t most = options_.target_hit_rate ? wanted() : options_.max;
  size_t idle = count(State::idle);
  bool room_needed = wanted() >= options_.max && count(State::warming) == 0;
  std::vector<Number> gone;
  for (const auto& [number, entry] : entries_) {
    if (entry.state != State::idle) continue;
    const bool make_room = room_needed && is_old(entry);
    const bool replaced = is_old(entry) && idle > wanted();
    if (idle <= most && !make_room && !replaced) continue;
    if (make_room) room_needed = false;
    gone.push_back(number);
    --idle;
  }
  for (const Number number : gone) discard(number);
}

size_t Pool::wanted() {
  size_t base = options_.min;
  if (options_.target_hit_rate)
    base = std::max(base, slots_for(forecast_.at(world_.now()), *options_.target_hit_rate, options_.max));
  return std::min(options_.max, std::max(base, waiting_.size()));
}

void Pool::refill() {
  totals_.wanted = totals_.draining ? 0 : wanted();
  no_memory_ = false;
  // What is being claimed has the machine to itself, unless others wait.
  if (!starting_.empty() && waiting_.empty()) return;
  while (!totals_.draining && world_.now() >= not_before_) {
    const size_t warming = count(State::warming);
    const size_t there = warming + count(State::idle) + count(State::checking) + count(State::taking_back);
    const auto old = static_cast<size_t>(
        std::count_if(entries_.begin(), entries_.end(), [&](const auto& e) { return is_old(e.second); }));
    if (there - old >= totals_.wanted || there >= options_.max || warming >= options_.at_once) return;
    // Those being made have not taken their memory yet.
    no_memory_ = world_.available_memory() < options_.slot_bytes * (warming + 1) + memory_reserve;
    if (no_memory_) return;
    make_one();
  }
}

void Pool::make_one() {
  const Number number = next_number_++;
  entries_[number].state = State::warming;
  const auto slot = std::make_shared<std::shared_ptr<Slot>>();
  const double begun = world_.now();
  world_.run(
      PoolWorld::Work::make,
      [slot, make = world_.make, &cancel = cancel_] {
        try {
          *slot = make();
          (*slot)->make(cancel);
        } catch (...) {
          slot->reset();  // here, not on the pool's thread: it takes time
          throw;
        }
      },
      [this, number, slot, begun](const std::exception_ptr& failure) {
        if (failure) {
          entries_.erase(number);
          ++totals_.failed;
          if (!totals_.draining) log::warn("a slot could not be made: {}", what_of(failure));
          failed(what_of(failure));
          return;
        }
        Entry& entry = entries_.at(number);
        entry.slot = std::move(*slot);
        entry.state = State::idle;
        entry.made = entry.checked = world_.now();
        ++totals_.made;
        const double took = entry.made - begun;
        totals_.make_seconds = totals_.make_seconds == 0 ? took : 0.8 * totals_.make_seconds + 0.2 * took;
        forecast_.set_window(totals_.make_seconds);
        if (totals_.draining) discard(number);
        serve_waiting();
      });
}

/// One after the other, so that never more than one idle slot is not to be had for it.
void Pool::check_one() {
  if (count(State::checking) > 0) return;
  const double now = world_.now();
  for (auto& [number, entry] : entries_) {
    if (entry.state != State::idle || now - entry.checked < options_.health_seconds) continue;
    entry.state = State::checking;
    world_.run(
        PoolWorld::Work::check, [slot = entry.slot, &cancel = cancel_] { slot->check(cancel); },
        [this, number = number](const std::exception_ptr& failure) {
          Entry& e = entries_.at(number);
          e.checked = world_.now();
          e.state = State::idle;
          if (failure) {
            ill(number, what_of(failure));
          } else {
            failures_in_a_row_ = 0;
            if (totals_.draining) discard(number);
          }
          serve_waiting();
        });
    return;
  }
}

}  // namespace coldstart
