// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/put_back.h"

#include <cerrno>
#include <csignal>

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/process_tree.h"
#include "core/base/subprocess.h"

namespace coldstart {

namespace {

/// A process that CRIU holds cannot answer the driver. CRIU lets go when it is done, or when its caller is
/// gone.
void wait_untraced(const JournalledProcess& process) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  while (pidfd && process.alive()) {
    const std::string tracer = status_field(process.pid, "TracerPid");
    if (tracer.empty() || tracer == "0") return;
    pollfd p{pidfd.get(), POLLIN, 0};
    ::poll(&p, 1, 20);
  }
}

/// One process on its way back.
class Return {
 public:
  Return(const CudaDriver& driver, GpuJournal& journal, const JournalledProcess& process)
      : driver_(driver), journal_(journal), process_(process) {
    told_.pid = process.pid;
    told_.name = status_field(process.pid, "Name");
  }

  /// To locked, where it is not running.
  void restore() {
    attempt([this] {
      wait_untraced(process_);
      const GpuState state = state_now();
      told_.found = state;
      if (state == GpuState::running) return;
      pending_ = true;
      if (state == GpuState::failed) throw Error("the driver could not bring its GPU state back");
      if (state != GpuState::checkpointed) return;
      if (process_.restore_failed) throw Error("its restore failed, and can never be repeated");
      if (process_.restores > 1) throw Error("its restore was broken off twice");
      note_restore();
      driver_.restore(process_.pid, {});
    });
  }

  void unlock() {
    if (!pending_ || told_.ended) return;
    attempt([this] {
      driver_.unlock(process_.pid);
      if (driver_.state(process_.pid) != GpuState::running)
        throw Error("the driver does not let it run again");
    });
  }

  std::optional<PutBack> told() const {
    return pending_ || told_.ended ? std::optional(told_) : std::nullopt;
  }

 private:
  /// A process that the driver knows, but cannot tell of, is taken for broken; one that it does not know
  /// runs.
  GpuState state_now() {
    try {
      return driver_.state(process_.pid);
    } catch (const CudaError&) {
      if (!driver_.restore_thread(process_.pid)) return GpuState::running;
      pending_ = true;
      throw;
    }
  }

  /// That it is put back matters more than that it is written down.
  void note_restore() {
    try {
      journal_.note("restore", process_.pid, process_.started);
    } catch (const Error& e) {
      log::warn("{}", e.message());
    }
  }

  template <class Work>
  void attempt(Work work) {
    if (!process_.alive()) return;
    try {
      work();
    } catch (const Error& e) {
      if (!process_.alive()) {
        pending_ = false;
        return;
      }
      told_.reason = e.message();
      told_.ended = end_process(process_.pid, process_.started);
    }
  }

  const CudaDriver& driver_;
  GpuJournal& journal_;
  const JournalledProcess process_;
  PutBack told_;
  bool pending_ = false;  // it was found in a state that it must not stay in
};

}  // namespace

std::string PutBack::text() const {
  const std::string which = fmt::format("{} (pid {}) was {}", name, pid, to_text(found));
  return ended ? which + " and was ended: " + reason : which + " and runs again";
}

OrderedJson to_json(const PutBack& one) {
  return {{"pid", one.pid},
          {"name", one.name},
          {"state", to_text(one.found)},
          {"ended", one.ended},
          {"reason", one.reason}};
}

PutBack put_back_from_json(const Json& json) {
  const std::string document = "the GPU controller's answer";
  PutBack one;
  one.pid = field<pid_t>(json, "pid", document);
  one.name = field<std::string>(json, "name", document);
  one.found = gpu_state_from(field<std::string>(json, "state", document)).value_or(GpuState::failed);
  one.ended = field<bool>(json, "ended", document);
  one.reason = field<std::string>(json, "reason", document);
  return one;
}

std::vector<PutBack> put_back(const CudaDriver& driver, GpuJournal& journal) {
  std::vector<Return> returns;
  for (const JournalledProcess& process : journal.processes()) returns.emplace_back(driver, journal, process);
  // Peers wait for each other: all have their memory before the first runs.
  for (Return& one : returns) one.restore();
  for (Return& one : returns) one.unlock();
  std::vector<PutBack> told;
  for (const Return& one : returns)
    if (const auto what = one.told()) told.push_back(*what);
  journal.remove();
  return told;
}

bool end_process(pid_t pid, uint64_t started) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd || start_time_of(pid) != started) return false;
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) == 0;
}

}  // namespace coldstart
