// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which pools there are on this host.
//
//   STORE/pools/NAME/lock        flocked by the service for its life
//   STORE/pools/NAME/pool.json   where it listens, and for which snapshot
//   STORE/pools/NAME/socket      where it listens if nobody said otherwise
//   STORE/pools/NAME/leases/     lease.h
//   STORE/pools/NAME/service.log

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/files.h"

namespace coldstart {

struct PoolEntry {
  std::string name;
  std::string snapshot;  ///< as it was named
  std::string digest;    ///< of the snapshot
  std::string listen;    ///< "unix:PATH" or "HOST:PORT"
  pid_t pid = 0;         ///< of the service
};

class PoolDirectory {
 public:
  explicit PoolDirectory(const std::filesystem::path& store_root);

  /// A name made of a snapshot's: "llm:warm" gives "llm-warm".
  static std::string name_for(std::string_view snapshot);
  /// Throws Error::usage.
  static void check_name(const std::string& name);

  /// Made if need be.
  std::filesystem::path folder(const std::string& name) const;
  /// For the service. Throws Error if another has that name.
  FileLock lock(const std::string& name) const;
  void publish(const PoolEntry& entry) const;
  /// Those whose service runs.
  std::vector<PoolEntry> list() const;
  /// By name; empty: the only one there is. Throws Error::not_found.
  PoolEntry find(const std::string& name) const;

 private:
  std::filesystem::path root_;
};

}  // namespace coldstart
