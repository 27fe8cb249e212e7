// SPDX-License-Identifier: Apache-2.0
#pragma once
// Restoring: a snapshot becomes a replica again.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/criu.h"
#include "core/checkpoint/images_cache.h"
#include "core/checkpoint/manifest.h"
#include "core/memory/memory.h"
#include "core/memory/memory_tier.h"
#include "core/pipeline/criu_page_server.h"
#include "core/pipeline/files_ahead.h"
#include "core/pipeline/gpu_stage.h"
#include "core/sandbox/supervisor.h"
#include "core/store/store.h"

namespace coldstart {

/// What the user may say of a restore. What is not said is as the snapshot has it.
struct RestoreRequest {
  std::string source;  ///< as the user named the snapshot, for `ps`
  std::string name;
  std::optional<Net> net;
  std::vector<PortMapping> ports;
  std::vector<Bind> binds;  ///< for each that the snapshot was taken with, one of the same target
  std::optional<Readiness> ready;
  std::string memory = "auto";
  /// Asked once it is ready, each a URL or a command: what they touch belongs to the working set, which is
  /// recorded anew.
  std::vector<std::string> record;
  bool plain_criu = false;   ///< for benches: CRIU with none of what we do for it, eager or (its own) lazy
  std::string post_restore;  ///< a command for `sh -c` inside, run before it is asked whether it is ready
  std::optional<uint64_t>
      memory_cache;     ///< bytes that shared memory may take on this host; else a part of it
  std::string gpu_map;  ///< "OLD_UUID=NEW_UUID,…"; else each GPU itself, or one of its kind
  std::map<GpuUuid, std::string> gpus_ill;  ///< not to be used, and why
  GpuPlan* gpu_plan = nullptr;  ///< of those asked for before, if they are to be told apart; in and out
};

/// What a supervisor needs to restore `snapshot`. Throws Error::incompatible (exit 5) if this host does not
/// fit it, Error::corrupt if it is not what was published: all before any process exists.
ReplicaSpec restore_spec(Store& store, const Digest& snapshot, const RestoreRequest& request);

/// In the supervisor: the processes come from a snapshot. Stages memory, criu.restore and gpu.restore
/// (before it memory.pinned, a part of criu.restore), and where they are asked for post-restore and record.
/// Must live as long as they.
class RestoreLauncher final : public Launcher {
 public:
  /// The spec's `launch` must be as restore_spec() made it.
  RestoreLauncher();
  ~RestoreLauncher() override;
  /// The page server is started.
  void begin(LaunchContext& context) override;
  void prepare(SandboxOptions& options, LaunchContext& context) override;
  /// CRIU is started inside and the page server listens: launch() has but to say so.
  void stand_by(Sandbox& sandbox, const Stdio& stdio, LaunchContext& context) override;
  std::vector<int> standing_by() const override;
  Child launch(Sandbox& sandbox, const Stdio& stdio, LaunchContext& context) override;
  void ready(LaunchContext& context) override;
  void ended(const ExitState& exit) override;
  void stand_down() noexcept override;

 private:
  struct StandBy;
  void start_page_server(const LaunchContext& context);
  void leave_memory_to_server(RestoreOptions& options) const;
  std::vector<TraceLine> files_in_use() const;
  void ask_inside(const std::string& what, const std::string& request, LaunchContext& context) const;
  void share_memory(const ReplicaSpec& spec);
  Child restore_processes(LaunchContext& context);

  // From begin() on.
  std::shared_ptr<Store> store_;
  std::optional<Store::Lease> lease_;
  SnapshotManifest manifest_;
  std::filesystem::path image_;  // where it is mounted
  MemoryMode mode_ = MemoryMode::eager;
  pid_t root_ = 0;
  std::optional<ImagesFolder> files_;  // in use until all memory is in place
  std::optional<GpuRestore> gpu_;
  std::optional<SharedCopy> copy_;  // shared mode
  Fd copy_pages_;                   // that CRIU maps
  bool plain_ = false;
  std::optional<CriuPageServer> criu_pages_;
  std::optional<MemoryServer> memory_;  // not eager: its end is the end of what still waits for memory
  uint64_t pinned_bytes_ = 0;           // of mappings that come whole, before anything runs
  std::unique_ptr<StandBy> stand_by_;   // until launch() is done
  std::optional<FilesAhead> ahead_;     // from stand_by() until stand_down()
};

}  // namespace coldstart
