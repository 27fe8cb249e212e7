// SPDX-License-Identifier: Apache-2.0
#include "core/pool/replica_slot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/sandbox/freezer.h"
#include "core/sandbox/readiness.h"

namespace coldstart {

namespace {

constexpr std::chrono::seconds patience(10);

class ReplicaSlot final : public Slot {
 public:
  ReplicaSlot(Replicas& replicas, ReplicaSpec spec, ReplicaSlotOptions options)
      : replicas_(replicas), spec_(std::move(spec)), options_(std::move(options)) {}

  ~ReplicaSlot() override {
    if (!front_ || gone_) return;
    try {
      front_->outlive_us(false);
    } catch (const Error& e) {
      log::debug("{}", e.message());  // it has ended already
    }
    front_.reset();
    Freezer::remove_group(freezer_group(spec_.id));  // left if the supervisor was killed
  }

  SlotIdentity identity() const override { return identity_; }

  void make(const CancelToken& cancel) override {
    options_.host_check(spec_, false);
    spec_.launch_when_told = options_.level == SlotLevel::prepared;
    front_.emplace(replicas_, spec_);
    identity_.id = front_->id();
    if (options_.level == SlotLevel::prepared) {
      front_->wait_prepared(cancel);
      return;
    }
    launch(cancel);
    ask_whether_well(cancel);
    front_->freeze();
  }

  void check(const CancelToken& cancel) override {
    if (has_ended()) throw Error("the replica " + identity_.id + " has ended");
    options_.host_check(spec_, false);
    if (options_.level == SlotLevel::prepared && identity_.pid == 0) return;
    front_->thaw();
    ask_whether_well(cancel);
    front_->freeze();
  }

  void claim(const CancelToken& cancel) override {
    options_.host_check(spec_, true);
    if (identity_.pid == 0) {
      front_->go();
      launch(cancel);
    } else {
      front_->thaw();
    }
    front_->outlive_us(true);
  }

  bool claims_at_once() const override { return identity_.pid != 0; }

  void take_back(const CancelToken& cancel) override {
    front_->outlive_us(false);
    options_.host_check(spec_, false);
    ask_whether_well(cancel);
    front_->freeze();
  }

  void let_go() override {
    gone_ = true;
    if (front_) front_->detach();
  }

  int event_fd() const override { return front_->event_fd(); }
  bool has_ended() override { return front_->ended_meanwhile(); }

 private:
  void launch(const CancelToken& cancel) {
    front_->wait_ready(cancel);
    identity_.pid = front_->pid();
    identity_.pid_started = start_time_of(identity_.pid);
    for (const PortMapping& port : replicas_.find(identity_.id).ports) identity_.ports.push_back(port.text());
  }

  /// By what the snapshot was ready by, and the health command.
  void ask_whether_well(const CancelToken& cancel) const {
    const Fd pidfd = open_pidfd(identity_.pid);
    const Fd netns = open_file(fmt::format("/proc/{}/ns/net", identity_.pid), O_RDONLY);
    ReadyTarget target;
    target.check_alive = [&] {
      pollfd p{pidfd.get(), POLLIN, 0};
      if (::poll(&p, 1, 0) > 0) throw Error("the replica " + identity_.id + " has ended");
    };
    target.ended_fd = pidfd.get();
    target.netns = netns.get();
    target.environment = spec_.program.environment;
    target.start = [&](const ProgramSpec& program) { return start_in_namespaces_of(identity_.pid, program); };
    target.check_alive();
    if (spec_.ready.kind == Readiness::Kind::url || spec_.ready.kind == Readiness::Kind::command)
      wait_until_ready({spec_.ready.kind, spec_.ready.value, options_.health_timeout}, target, cancel);
    if (!options_.health_command.empty())
      wait_until_ready({Readiness::Kind::command, options_.health_command, options_.health_timeout}, target,
                       cancel);
  }

  Replicas& replicas_;
  ReplicaSpec spec_;
  const ReplicaSlotOptions options_;
  std::optional<ReplicaFront> front_;
  SlotIdentity identity_;
  bool gone_ = false;
};

/// Its supervisor is no child of ours and listens to nobody: it is known by its processes only.
class AdoptedSlot final : public Slot {
 public:
  AdoptedSlot(const Replicas& replicas, Replica replica, SlotIdentity identity)
      : replicas_(replicas),
        replica_(std::move(replica)),
        identity_(std::move(identity)),
        supervisor_(open_pidfd(replica_.supervisor)) {}

  ~AdoptedSlot() override {
    if (gone_) return;
    try {
      const CancelToken never;
      replicas_.stop(replica_, patience, never);
    } catch (const Error& e) {
      log::warn("cannot end the replica {}: {}", identity_.id, e.message());
    }
  }

  SlotIdentity identity() const override { return identity_; }
  void make(const CancelToken&) override {}
  void check(const CancelToken&) override { refuse(); }
  void claim(const CancelToken&) override { refuse(); }
  bool claims_at_once() const override { return true; }
  void take_back(const CancelToken&) override { refuse(); }
  void let_go() override { gone_ = true; }
  int event_fd() const override { return supervisor_.get(); }
  bool has_ended() override {
    pollfd p{supervisor_.get(), POLLIN, 0};
    return ::poll(&p, 1, 0) > 0;
  }

 private:
  [[noreturn]] static void refuse() { throw Error("a replica of an earlier service cannot be used again"); }

  const Replicas& replicas_;
  const Replica replica_;
  const SlotIdentity identity_;
  const Fd supervisor_;
  bool gone_ = false;
};

}  // namespace

const char* to_text(SlotLevel level) {
  return level == SlotLevel::frozen ? "frozen" : "slot";
}

SlotLevel slot_level(std::string_view word) {
  for (const SlotLevel level : {SlotLevel::frozen, SlotLevel::prepared})
    if (word == to_text(level)) return level;
  throw Error::usage(fmt::format("not a level: '{}'", word), "slot or frozen");
}

std::unique_ptr<Slot> make_replica_slot(Replicas& replicas, ReplicaSpec spec,
                                        const ReplicaSlotOptions& options) {
  return std::make_unique<ReplicaSlot>(replicas, std::move(spec), options);
}

std::unique_ptr<Slot> adopt_replica_slot(const Replicas& replicas, const SlotIdentity& identity) {
  try {
    Replica replica = replicas.find_running(identity.id);
    if (replica.pid != identity.pid || replica.pid_started != identity.pid_started) return nullptr;
    auto slot = std::make_unique<AdoptedSlot>(replicas, replica, identity);
    if (start_time_of(replica.supervisor) != replica.supervisor_started) {
      slot->let_go();
      return nullptr;
    }
    return slot;
  } catch (const Error& e) {
    log::info("the replica {} is not there any more: {}", identity.id, e.message());
    return nullptr;
  }
}

}  // namespace coldstart
