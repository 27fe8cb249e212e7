// SPDX-License-Identifier: Apache-2.0
#pragma once
// The registry of replicas: what runs, and what ran, on this host.
//
//   STORE/replicas/lock               held while a name is taken or leftovers are collected
//   STORE/replicas/ID/lock            flocked by the replica's supervisor for its life: free means it is gone
//   STORE/replicas/ID/state.json      what `ps` shows; replaced by rename
//   STORE/replicas/ID/spec.json       the ReplicaSpec it was made of
//   STORE/replicas/ID/stdout.log, stderr.log (and .1), supervisor.log
//   STORE/replicas/ID/scratch/        the overlay's upper and work folders, the image's mount point; removed
//                                     when the replica ends
//
// The registry says what is, not what must survive: nothing here is fsynced.

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/subprocess.h"
#include "core/sandbox/ports.h"
#include "core/sandbox/sandbox.h"

namespace coldstart {

enum class ReplicaState {
  starting,  ///< made, but the program does not run yet
  running,
  frozen,  ///< it runs, but does not take a step: an idle slot of a pool
  exited,  ///< `exit` says how
  failed,  ///< it never ran, or what it ran from was lost; `error` says why
  lost     ///< its supervisor died; so did all that was inside
};
const char* to_text(ReplicaState state);
const char* to_text(Net net);         ///< "host", "none", "private"
Net net_from(std::string_view text);  ///< throws Error::usage

/// One replica as the registry knows it. A plain value.
struct Replica {
  std::string id;      ///< 12 hex digits
  std::string name;    ///< unique among those that run; may be empty
  std::string source;  ///< the image, snapshot or folder, as the user wrote it; empty: the host's root
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::string folder = "/";
  Net net = Net::host;
  std::vector<PortMapping> ports;
  ReplicaState state = ReplicaState::starting;
  pid_t pid = 0;  ///< of the main process, as seen from the host; 0 until it runs
  pid_t pid_inside = 0;
  pid_t supervisor = 0;
  uint64_t pid_started = 0;         ///< start_time_of(pid): with the pid it names the process for good
  uint64_t supervisor_started = 0;  ///< start_time_of(supervisor)
  int64_t created = 0;              ///< seconds since 1970
  int64_t ended = 0;
  std::optional<ExitState> exit;
  std::string error;

  bool alive() const {
    return state == ReplicaState::starting || state == ReplicaState::running || state == ReplicaState::frozen;
  }
  OrderedJson to_json() const;
  static Replica from_json(const Json& json, const std::string& document);
};

/// A replica's folder, held by its flock: by who makes the replica, then by its supervisor.
class ReplicaFolder {
 public:
  ReplicaFolder(std::filesystem::path path, FileLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path scratch() const { return path_ / "scratch"; }
  int lock_fd() const { return lock_.fd(); }

 private:
  std::filesystem::path path_;
  FileLock lock_;
};

/// Replaces FOLDER/state.json.
void write_state(const std::filesystem::path& folder, const Replica& replica);

/// Thread-safe; any number of processes may use one at once.
class Replicas {
 public:
  explicit Replicas(const std::filesystem::path& store_root);

  /// Makes a replica's folder and writes its state (starting). Fills in id and created. Throws Error if the
  /// name is taken by one that runs, or is none ([A-Za-z0-9][A-Za-z0-9_.-]*).
  ReplicaFolder create(Replica& replica);
  /// Those that run, or all; newest first. One whose supervisor died reads as lost, and is among those that
  /// run until it is collected.
  std::vector<Replica> list(bool all) const;
  /// By id, unique prefix of one, or name (a running one before those that ended). Throws Error::not_found.
  Replica find(std::string_view which) const;
  /// As find(), but throws Error if it does not run.
  Replica find_running(std::string_view which) const;
  std::filesystem::path folder(const Replica& replica) const { return root_ / replica.id; }
  /// Removes what dead supervisors left behind, and all but the newest 20 that have ended.
  void collect() const;
  /// SIGTERM to the main process; after `patience` SIGKILL. Returns once the supervisor has cleaned up.
  void stop(const Replica& replica, std::chrono::milliseconds patience, const CancelToken& cancel) const;

 private:
  Replica read(const std::filesystem::path& folder) const;
  std::vector<Replica> collect_locked() const;
  std::filesystem::path root_;
};

}  // namespace coldstart
