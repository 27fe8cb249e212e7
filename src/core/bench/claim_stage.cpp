// SPDX-License-Identifier: Apache-2.0
// The stage pool.claim: a slot, of either level, becomes somebody's replica; against a restore, which is what
// there is without a pool.
#include "core/bench/stages.h"
#include "core/pool/pool.h"
#include "core/pool/replica_slot.h"

namespace coldstart {

namespace {

/// A pool of one slot whose work is done at once, by whoever asks for it: what is timed is the claim, not
/// the slot that would be made in its place.
class OneSlot {
 public:
  OneSlot(Fixtures& f, SlotLevel level)
      : f_(f), level_(level), journal_(f.scratch(std::string("leases-") + to_text(level))) {}

  void make() {
    PoolOptions options;
    options.min = options.max = 1;
    pool_.emplace(options, world(), journal_, f_.cancel());
    pool_->step();
    if (const PoolStatus status = pool_->status(); status.idle != 1)
      throw Error("no slot could be made: " + status.last_failure);
  }
  void claim() {
    std::optional<ClaimAnswer> answer;
    pool_->claim({.timeout = 0}, [&](const ClaimAnswer& given) { answer = given; });
    if (answer->error) throw Error(*answer->error);
  }
  void end() {
    if (pool_) pool_->end_all();
    pool_.reset();
  }

 private:
  PoolWorld world() {
    return {
        [](PoolWorld::Work, auto work, auto done) {
          std::exception_ptr failure;
          try {
            work();
          } catch (...) {
            failure = std::current_exception();
          }
          done(failure);
        },
        [] {
          return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
        },
        [] { return UINT64_MAX; },
        [this] {
          const SnapshotStart& start = f_.snapshot();
          return make_replica_slot(
              f_.replicas(), restore_spec(*f_.store(), start.digest, restore_request(start, start.memory)),
              {.level = level_});
        },
        [](const SlotIdentity&) { return nullptr; }};
  }

  Fixtures& f_;
  const SlotLevel level_;
  Journal journal_;
  std::optional<Pool> pool_;
};

}  // namespace

std::vector<Case> pool_claim_cases(Fixtures& f, BenchPart&) {
  std::vector<Case> cases;
  for (const SlotLevel level : {SlotLevel::frozen, SlotLevel::prepared}) {
    const auto slot = std::make_shared<OneSlot>(f, level);
    cases.push_back({std::string("coldstart ") + to_text(level), false, timed([slot] { slot->claim(); }),
                     [slot] { slot->make(); }, [slot] { slot->end(); }});
  }
  ReplicaCase restored;
  restored.name = "coldstart restore";
  restored.baseline = true;
  restored.spec = [&f] {
    const SnapshotStart& start = f.snapshot();
    return restore_spec(*f.store(), start.digest, restore_request(start, start.memory));
  };
  cases.push_back(replica_case(restored, f.replicas(), f.quiet()));
  return cases;
}

}  // namespace coldstart
