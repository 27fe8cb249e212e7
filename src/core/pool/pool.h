// SPDX-License-Identifier: Apache-2.0
#pragma once
// A pool: which slots there are, and who gets one. It decides; slots (slot.h) do, and whatever takes time is
// done by other threads on its behalf.
//
//   warming ──► idle ◄──► checking        idle: can be claimed
//      │          │  ▲
//      │       claimed │ taking_back      claimed: somebody's, until the lease ends
//      ▼          ▼  │
//    ending ◄──────┘                      from every state, when a slot is ill, old, surplus or done with
//
// Claims that find nothing idle wait in the order they came, each until its deadline. Making slots has
// threads of its own, so claims never hold it up, however many wait.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/pool/lease.h"
#include "core/pool/sizing.h"
#include "core/pool/slot.h"

namespace coldstart {

struct PoolOptions {
  size_t min = 1, max = 4;  ///< idle slots
  std::optional<double>
      target_hit_rate;        ///< sizes between min and max; else min (and more while claims wait)
  size_t at_once = 2;         ///< slots being made at the same time
  double health_seconds = 5;  ///< between two checks of an idle slot
  double max_age = 0;         ///< seconds after which an idle slot is replaced; 0: never
  uint64_t slot_bytes = 0;    ///< memory that a slot may take
};

struct ClaimRequest {
  double timeout = 30;  ///< seconds to wait for a slot
  pid_t holder = 0;     ///< its end is the lease's; 0: until it is released
  LeaseEnd at_end = LeaseEnd::end;
};

struct ClaimAnswer {
  SlotIdentity slot;
  double seconds = 0;  ///< from the request until the replica runs
  uint64_t ticket = 0;
  std::optional<Error> error;
};
using ClaimReply = std::function<void(const ClaimAnswer&)>;

struct PoolStatus {
  size_t idle = 0, warming = 0, checking = 0, claimed = 0, ending = 0, waiting = 0, wanted = 0;
  uint64_t claims = 0;            ///< that got a replica
  uint64_t hits = 0;              ///< of them at once
  uint64_t timeouts = 0;          ///< claims that got none
  uint64_t made = 0, failed = 0;  ///< slots
  uint64_t unhealthy = 0;         ///< slots that were idle and turned out ill or dead
  double claim_seconds = 0;       ///< of all claims together
  double make_seconds = 0;        ///< what making a slot takes, of late
  bool draining = false;
  std::string last_failure;  ///< why a slot could not be made or was unhealthy; empty if none was of late
  std::vector<Lease> leases;

  double hit_rate() const;
};

/// What a pool needs of the world around it.
struct PoolWorld {
  enum class Work { make, check, claim, end };
  /// Runs `work` on another thread and then `done` on the pool's. What `work` throws is given to `done`.
  std::function<void(Work kind, std::function<void()> work, std::function<void(std::exception_ptr)> done)>
      run;
  std::function<double()> now;                 ///< seconds, monotonic
  std::function<uint64_t()> available_memory;  ///< bytes
  SlotMaker make;
  SlotFinder find;
};

/// All by one thread. Destroyed: slots that nobody claimed end; claimed ones go on, for a later service to
/// adopt.
class Pool {
 public:
  Pool(PoolOptions options, PoolWorld world, Journal& journal, const CancelToken& cancel);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Takes over what an earlier service gave away. Once, first.
  void adopt();
  /// `reply` is called once: at once, or later from another call. Gives a ticket for withdraw().
  uint64_t claim(const ClaimRequest& request, ClaimReply reply);
  /// Whoever waits is gone: `reply` is not called any more.
  void withdraw(uint64_t ticket);
  /// Throws Error::not_found if no such replica is claimed.
  void release(const std::string& id, LeaseEnd end);
  /// The lease that the claim with this ticket got ends as it says itself; nothing if there is none any more.
  void holder_gone(uint64_t ticket);
  /// Deadlines, ends of slots and holders, refills, checks. To be called several times a second.
  void step();
  /// No claims any more; what nobody claimed ends.
  void drain();
  /// Ends also what is claimed.
  void end_all();
  /// True once drained and nothing is left.
  bool empty() const { return entries_.empty(); }
  PoolStatus status() const;

 private:
  enum class State { warming, idle, checking, starting, claimed, taking_back, ending };
  struct Entry {
    State state = State::warming;
    std::shared_ptr<Slot> slot;  // none while it is being made
    double made = 0, checked = 0;
    Lease lease;
    uint64_t ticket = 0;  // of the claim
    Fd holder;
    bool adopted = false;  // of a service before us: it cannot be used again
  };
  struct Waiting {
    uint64_t ticket;
    double since;
    ClaimRequest request;
    ClaimReply reply;
    bool waited = false;
  };
  using Number = uint64_t;

  void serve_waiting();
  std::optional<Number> oldest_idle() const;
  void hand_over(Number number, Waiting claim);
  void handed_over(Number number, Waiting claim, const std::exception_ptr& failure);
  void expire();
  void look_after_leases();
  void drop_dead();
  void retire();
  void refill();
  void make_one();
  void check_one();
  void take_back(Number number);
  void discard(Number number);
  void lease_over(Number number, LeaseEnd end);
  void ill(Number number, const std::string& why);
  void failed(const std::string& why);
  size_t wanted();
  bool is_old(const Entry& entry) const;
  size_t count(State state) const;
  Number find_lease(const std::string& id) const;
  std::string why_empty() const;
  static std::string what_of(const std::exception_ptr& failure);

  const PoolOptions options_;
  const PoolWorld world_;
  Journal& journal_;
  const CancelToken& cancel_;
  std::map<Number, Entry> entries_;
  std::deque<Waiting> waiting_;
  std::map<uint64_t, bool> starting_;  // tickets that are being handed a slot; true: withdrawn meanwhile
  uint64_t next_number_ = 1, next_ticket_ = 1;
  LoadForecast forecast_{1};
  size_t failures_in_a_row_ = 0;
  double not_before_ = 0;  // when making is tried again
  bool no_memory_ = false;
  PoolStatus totals_;
};

}  // namespace coldstart
