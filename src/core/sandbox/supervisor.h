// SPDX-License-Identifier: Apache-2.0
#pragma once
// The process that owns one replica: `coldstart replica-supervisor`, started by whoever wants the replica
// (front.h). It lives in a mount namespace of its own, holds the image's mount, the sandbox and the pipes of
// stdio, publishes ports, and takes everything down when the main process ends, when it is told to, or, by
// the kernel's doing, when it is killed.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/sandbox/ports.h"
#include "core/sandbox/readiness.h"
#include "core/sandbox/sandbox.h"
#include "core/sandbox/stdio.h"
#include "core/store/digest.h"
#include "core/timeline/operation.h"

namespace coldstart {

/// All that a supervisor must know. Goes to it as JSON.
struct ReplicaSpec {
  std::filesystem::path store;      ///< root of the store
  std::string id;                   ///< filled in by Replicas::create
  std::string name;                 ///< or empty
  std::string source;               ///< what `ps` shows as its image
  std::optional<Digest> image;      ///< the root's lower tree; or
  std::filesystem::path record;     ///< where to write what is read of the image; empty: nowhere
  std::optional<Digest> far_trace;  ///< as in MountOptions
  std::filesystem::path rootfs;     ///< this folder; or, both empty, the host's root
  std::vector<Bind> binds;
  Net net = Net::host;
  std::vector<PortMapping> ports;
  /// argv, environment, folder, pid_inside; `fds` does not travel.
  ProgramSpec program;
  bool stdin_from_caller = false;  ///< else /dev/null
  bool output_to_caller = false;   ///< beside the logs
  Readiness ready;
  bool launch_when_told = false;  ///< stops before the launch, until the caller says go
  /// For the launcher: {"kind": "program"}, or what a restore needs. The command replica-supervisor makes
  /// the launcher of that kind.
  Json launch = {{"kind", "program"}};

  OrderedJson to_json() const;
  static ReplicaSpec from_json(const Json& json, const std::string& document);
};

/// Told of each stage when it is done; start on the steady clock, which all processes share.
using StageSink = std::function<void(const std::string& name, std::chrono::steady_clock::time_point start,
                                     double seconds, std::optional<uint64_t> bytes)>;

/// What a launcher is given at each call. References: all outlive the launcher.
struct LaunchContext {
  const ReplicaSpec& spec;
  const std::filesystem::path& folder;  ///< STORE/replicas/ID
  Operation& op;                        ///< cancelled when the caller goes away or a signal comes
  StageSink report;
};

/// Where the main process comes from. The supervisor calls, in this order and from its main thread:
/// begin, prepare, stand_by (if the launch is to wait), launch, ready, ended, and at last stand_down; what
/// one throws undoes everything and is what the caller is told.
class Launcher {
 public:
  virtual ~Launcher() = default;
  /// First of all, before the image is mounted: starts what can go on meanwhile.
  virtual void begin(LaunchContext& /*context*/) {}
  /// Before the sandbox is made. May change the options (first_pid, binds) and fill `options.root.scratch /
  /// "upper"`, which exists (unless the root is the host's). No thread may run when it returns: the sandbox
  /// is forked from this process.
  virtual void prepare(SandboxOptions& /*options*/, LaunchContext& /*context*/) {}
  /// Where the launch waits to be told (spec.launch_when_told): does all of it that can be done before. With
  /// the `stdio` that launch() will get.
  virtual void stand_by(Sandbox& /*sandbox*/, const Stdio& /*stdio*/, LaunchContext& /*context*/) {}
  /// Descriptors, readable once what stands by is of no use any more: for poll(2).
  virtual std::vector<int> standing_by() const { return {}; }
  /// Gives the main process: a child of this process, running inside with `stdio`. /dev/shm can be filled
  /// through sandbox.root().
  virtual Child launch(Sandbox& sandbox, const Stdio& stdio, LaunchContext& context) = 0;
  /// launch() takes no time to speak of: a signal that comes meanwhile is the program's, and cancels nothing.
  virtual bool launches_at_once() const { return false; }
  /// Once it is ready, before anybody is told so.
  virtual void ready(LaunchContext& /*context*/) {}
  /// The main process has ended so. Throws if it was ended for want of what this launcher was to bring.
  virtual void ended(const ExitState& /*exit*/) {}
  /// Before the sandbox goes: nothing that was started inside, other than the main process, stays.
  virtual void stand_down() noexcept {}
  /// The name of the stage that launch() is timed as; empty: it reports its own stages.
  virtual std::string stage() const { return {}; }
};

/// Starts spec.program.
class ProgramLauncher final : public Launcher {
 public:
  Child launch(Sandbox& sandbox, const Stdio& stdio, LaunchContext& context) override;
  bool launches_at_once() const override { return true; }
  std::string stage() const override { return "launch"; }
};

/// Descriptors that a supervisor is started with.
struct SupervisorFds {
  static constexpr int spec = 3;     ///< the spec, JSON until end of file
  static constexpr int control = 4;  ///< socket to the caller
  static constexpr int lock = 5;     ///< STORE/replicas/ID/lock, held
  static constexpr int input = 6;    ///< read end of the caller's stdin pipe (only with stdin_from_caller)
};

/// Reads the spec from SupervisorFds::spec.
ReplicaSpec read_spec();

/// The whole life of a replica: returns when it has ended and nothing of it is left. The calling process
/// must be single-threaded and started with SupervisorFds. Tells the caller what happens, errors included.
/// `op.cancel` ends the replica.
void supervise(const ReplicaSpec& spec, Launcher& launcher, Operation& op);

/// While this is held the replica in `folder` keeps its sandbox, even when its main process has ended: CRIU,
/// which runs inside, ends the processes it has dumped before it is done itself.
FileLock keep_sandbox(const std::filesystem::path& folder);

/// What a program finds in its environment when nobody says otherwise: PATH, TERM and HOME, which a `user`
/// gets when he is looked up inside. Of `wanted` ("K=V") later ones win.
std::vector<std::string> program_environment(const std::vector<std::string>& wanted,
                                             const std::string& user = {});

}  // namespace coldstart
