// SPDX-License-Identifier: Apache-2.0
// What a pool decides, with slots that do nothing and work that is done when the test says so.
#include "core/pool/pool.h"

#include <csignal>
#include <set>

#include <doctest/doctest.h>
#include <unistd.h>

#include "core/base/files.h"
#include "core/base/subprocess.h"

using namespace coldstart;

namespace {

/// What the made-up replicas do, and what was done to them.
struct World {
  int made = 0;
  std::set<std::string> alive, running, let_go;
  std::set<std::string> dead;  // they die when they are next asked
  bool cannot_make = false;
  bool ill = false;            // checks fail
  bool claims_at_once = true;  // else a claim is work
};

class FakeSlot final : public Slot {
 public:
  explicit FakeSlot(World& world, std::string id = {}) : world_(world), id_(std::move(id)) {}
  ~FakeSlot() override {
    if (!gone_) world_.alive.erase(id_);
  }
  SlotIdentity identity() const override { return {id_, 1, 1, {}}; }
  void make(const CancelToken&) override {
    if (world_.cannot_make) throw Error("no way");
    id_ = "r" + std::to_string(++world_.made);
    world_.alive.insert(id_);
  }
  void check(const CancelToken&) override {
    if (world_.ill) throw Error("ill");
  }
  void claim(const CancelToken&) override {
    if (world_.dead.contains(id_)) throw Error("dead");
    CHECK(world_.running.insert(id_).second);
  }
  bool claims_at_once() const override { return world_.claims_at_once; }
  void take_back(const CancelToken&) override { world_.running.erase(id_); }
  void let_go() override {
    gone_ = true;
    world_.let_go.insert(id_);
  }
  int event_fd() const override { return -1; }
  bool has_ended() override { return false; }

 private:
  World& world_;
  std::string id_;
  bool gone_ = false;
};

struct Bench {
  TempDir folder;
  World world;
  CancelToken cancel;
  double now = 1000;
  uint64_t memory = uint64_t{1} << 40;
  std::deque<std::function<void()>> jobs;
  Journal journal{folder.path() / "leases"};
  std::optional<Pool> pool;

  explicit Bench(const PoolOptions& options) { start(options); }
  void start(const PoolOptions& options) {
    pool.emplace(options,
                 PoolWorld{[this](PoolWorld::Work, std::function<void()> work,
                                  std::function<void(std::exception_ptr)> done) {
                             jobs.emplace_back([work = std::move(work), done = std::move(done)]() mutable {
                               std::exception_ptr failure;
                               try {
                                 work();
                               } catch (...) {
                                 failure = std::current_exception();
                               }
                               work = nullptr;
                               done(failure);
                             });
                           },
                           [this] { return now; }, [this] { return memory; },
                           [this] { return std::make_unique<FakeSlot>(world); },
                           [this](const SlotIdentity& identity) -> std::unique_ptr<Slot> {
                             if (!world.alive.contains(identity.id)) return nullptr;
                             return std::make_unique<FakeSlot>(world, identity.id);
                           }},
                 journal, cancel);
  }
  void work() {
    while (!jobs.empty()) {
      const auto job = std::move(jobs.front());
      jobs.pop_front();
      job();
    }
  }
  /// Time goes by, and all work gets done.
  void pass(double seconds) {
    for (double end = now + seconds; now < end; now += 0.1) {
      pool->step();
      work();
    }
  }
  ClaimAnswer claim(ClaimRequest request = {}) {
    std::optional<ClaimAnswer> answer;
    pool->claim(request, [&](const ClaimAnswer& a) { answer = a; });
    while (!answer) pass(0.1);
    return *answer;
  }
};

PoolOptions sizes(size_t min, size_t max) {
  PoolOptions options;
  options.min = min;
  options.max = max;
  return options;
}

}  // namespace

TEST_CASE("the pool fills up, no more than it should at once, and again after each claim") {
  Bench bench(sizes(5, 8));
  bench.pool->step();
  CHECK(bench.jobs.size() == 2);
  bench.pass(1);
  CHECK(bench.pool->status().idle == 5);
  const ClaimAnswer answer = bench.claim();
  CHECK(!answer.error);
  CHECK(bench.world.running == std::set<std::string>{answer.slot.id});
  bench.pass(1);
  CHECK(bench.pool->status().idle == 5);
  CHECK(bench.pool->status().claimed == 1);
  CHECK(bench.pool->status().hit_rate() == 1);
}

TEST_CASE("a claim that takes time has the machine to itself, unless others wait") {
  Bench bench(sizes(1, 1));
  bench.pass(1);
  bench.world.claims_at_once = false;
  int claimed = 0;
  const auto claim = [&] {
    bench.pool->claim({}, [&](const ClaimAnswer& a) { claimed += a.error ? 0 : 1; });
  };
  claim();
  bench.pool->step();
  CHECK(bench.jobs.size() == 1);  // the claim, and nothing is made
  CHECK(bench.pool->status().warming == 0);
  claim();
  CHECK(bench.pool->status().warming == 1);
  bench.pass(1);
  CHECK(claimed == 2);
  CHECK(bench.pool->status().idle == 1);
}

TEST_CASE("claims wait in order, each until its deadline") {
  Bench bench(sizes(0, 1));
  bench.world.cannot_make = true;
  std::vector<std::string> answers;
  const auto claim = [&](const char* name, double timeout) {
    bench.pool->claim({timeout, 0, LeaseEnd::end}, [&answers, name](const ClaimAnswer& a) {
      answers.push_back(name + std::string(a.error ? " failed: " + a.error->message() : " got " + a.slot.id));
      if (a.error) CHECK(a.error->exit() == Exit::empty);
    });
  };
  claim("first", 100);
  claim("second", 1);
  claim("third", 100);
  bench.pass(2);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0] == "second failed: no slot became idle within 1 s: no way");
  bench.world.cannot_make = false;
  bench.pass(60);
  CHECK(answers == std::vector<std::string>{answers[0], "first got r1", "third got r2"});
  CHECK(bench.pool->status().hits == 0);
}

TEST_CASE("one that withdraws gets nothing") {
  Bench bench(sizes(0, 1));
  bool called = false;
  bench.pool->withdraw(bench.pool->claim({}, [&](const ClaimAnswer&) { called = true; }));
  bench.pass(100);
  CHECK(!called);
  CHECK(bench.pool->status().claimed == 0);
  CHECK(bench.pool->status().waiting == 0);
}

TEST_CASE("a slot that turns out dead is never handed out: the next one is") {
  Bench bench(sizes(3, 3));
  bench.pass(1);
  bench.world.dead = {"r1", "r2"};
  const ClaimAnswer answer = bench.claim();
  CHECK(answer.slot.id == "r3");
  CHECK(bench.pool->status().unhealthy == 2);
  bench.pass(2);
  CHECK(bench.pool->status().idle == 3);
  CHECK(bench.world.alive.size() == 4);
}

TEST_CASE("ill slots are replaced, ever later while that does not help") {
  PoolOptions options = sizes(2, 2);
  options.health_seconds = 1;
  Bench bench(options);
  bench.pass(0.5);
  bench.world.ill = true;
  bench.pass(600);
  const int made = bench.world.made;
  CHECK(made > 4);
  CHECK(made < 200);  // without backoff it would be one a second
  bench.world.ill = false;
  bench.pass(120);
  CHECK(bench.pool->status().idle == 2);
  CHECK(bench.pool->status().last_failure.empty());
}

TEST_CASE("released replicas end, or are used again") {
  Bench bench(sizes(1, 3));
  bench.pass(1);
  const std::string id = bench.claim().slot.id;
  bench.pool->release(id, LeaseEnd::give_back);
  CHECK_THROWS_AS(bench.pool->release(id, LeaseEnd::end), Error);
  bench.pass(1);
  CHECK(bench.claim().slot.id == id);
  bench.pool->release(id, LeaseEnd::end);
  bench.pass(1);
  CHECK(!bench.world.alive.contains(id));
  CHECK_THROWS_AS(bench.pool->release("nobody", LeaseEnd::end), Error);
  CHECK(bench.journal.read().empty());
}

TEST_CASE("a connection that ends after its replica was claimed by another takes nothing away") {
  Bench bench(sizes(1, 1));
  bench.pass(1);
  const ClaimAnswer mine = bench.claim({30, 0, LeaseEnd::give_back});
  bench.pool->release(mine.slot.id, LeaseEnd::give_back);
  bench.work();
  const ClaimAnswer yours = bench.claim();
  REQUIRE(yours.slot.id == mine.slot.id);
  bench.pool->holder_gone(mine.ticket);
  bench.pass(1);
  CHECK(bench.world.running.contains(yours.slot.id));
  bench.pool->holder_gone(yours.ticket);
  bench.pass(1);
  CHECK(!bench.world.alive.contains(yours.slot.id));
}

TEST_CASE("a lease ends with its holder; a holder that is not there gets none") {
  Bench bench(sizes(1, 1));
  bench.pass(1);
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  Child holder(child);
  const ClaimAnswer answer = bench.claim({30, child, LeaseEnd::end});
  REQUIRE(!answer.error);
  bench.pass(1);
  CHECK(bench.pool->status().claimed == 1);
  holder.kill(SIGKILL);
  holder.wait();
  bench.pass(1);
  CHECK(bench.pool->status().claimed == 0);
  const ClaimAnswer refused = bench.claim({30, child, LeaseEnd::end});
  REQUIRE(refused.error);
  CHECK(refused.error->exit() == Exit::usage);
  CHECK(bench.pool->status().idle == 1);
}

TEST_CASE("what is claimed outlives the service, and the next one knows it") {
  Bench bench(sizes(2, 2));
  bench.pass(1);
  const std::string kept = bench.claim().slot.id;
  const std::string ended = bench.claim().slot.id;
  bench.pass(1);
  bench.pool.reset();
  bench.jobs.clear();
  CHECK(bench.world.let_go == std::set<std::string>{kept, ended});
  CHECK(bench.world.alive == std::set<std::string>{kept, ended});  // idle ones are gone
  bench.world.alive.erase(ended);                                  // it ends on its own meanwhile
  bench.start(sizes(1, 1));
  bench.pool->adopt();
  CHECK(bench.pool->status().leases.size() == 1);
  CHECK(bench.journal.read().size() == 1);
  bench.pool->release(kept, LeaseEnd::give_back);
  bench.pass(1);
  CHECK(!bench.world.alive.contains(kept));
}

TEST_CASE("by the hit rate asked for, from min to max") {
  PoolOptions options = sizes(1, 40);
  options.target_hit_rate = 0.99;
  options.at_once = 40;
  Bench bench(options);
  bench.pass(5);
  CHECK(bench.pool->status().idle == 1);
  // Work takes no time here, so the windows are the shortest there are: 20 claims a window need many slots.
  for (int i = 0; i < 400; ++i) {
    for (int j = 0; j < 20; ++j) bench.pool->release(bench.claim().slot.id, LeaseEnd::end);
    bench.now += 0.05;
    bench.work();
  }
  CHECK(bench.pool->status().wanted > 20);
  CHECK(bench.pool->status().wanted <= 40);
  bench.pass(4000);
  CHECK(bench.pool->status().wanted == 1);
  CHECK(bench.pool->status().idle == 1);
}

TEST_CASE("no slot is made where there is no memory for it, and the reason is told") {
  PoolOptions options = sizes(2, 2);
  options.slot_bytes = uint64_t{1} << 30;
  Bench bench(options);
  bench.memory = uint64_t{1} << 29;
  const ClaimAnswer answer = bench.claim({1, 0, LeaseEnd::end});
  REQUIRE(answer.error);
  CHECK(answer.error->message() == "no slot became idle within 1 s: there is no memory for another one");
  CHECK(bench.world.made == 0);
  bench.memory = uint64_t{1} << 40;
  bench.pass(1);
  CHECK(bench.pool->status().idle == 2);
}

TEST_CASE("old slots are replaced before they go where there is room, one by one where there is none") {
  for (const size_t max : {2U, 3U}) {
    PoolOptions options = sizes(2, max);
    options.max_age = 10;
    Bench bench(options);
    bench.pass(1);
    size_t least = 2;
    for (int i = 0; i < 200; ++i) {
      bench.pass(0.1);
      least = std::min(least, bench.pool->status().idle);
    }
    CHECK(bench.world.made >= 4);
    CHECK(bench.world.made <= 8);
    CHECK(least >= max - 1);
    CHECK(bench.world.alive.size() <= max);
  }
}

TEST_CASE("a drained pool gives nothing, and is empty once all leases have ended") {
  Bench bench(sizes(2, 2));
  bench.pass(1);
  const std::string id = bench.claim().slot.id;
  bench.pool->drain();
  bench.pass(1);
  CHECK(bench.claim().error->exit() == Exit::empty);
  CHECK(!bench.pool->empty());
  CHECK(bench.world.alive == std::set<std::string>{id});
  bench.pool->release(id, LeaseEnd::give_back);
  bench.pass(1);
  CHECK(bench.pool->empty());
  CHECK(bench.world.alive.empty());
}
