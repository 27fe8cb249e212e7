// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a snapshot depends on in its host, and whether another host has it.

#include <set>
#include <string>

#include "core/base/json.h"

namespace coldstart {

/// Taken at the dump, kept in the manifest, compared before a restore touches anything.
struct HostFacts {
  std::string arch;                    ///< "x86_64"
  std::string kernel;                  ///< release, "6.18.44-…"
  std::string criu;                    ///< "4.2"
  std::set<std::string> cpu_features;  ///< those that user programs pick code by (see cpp)

  /// Of this host; `criu_version` is the version that is in use.
  static HostFacts here(const std::string& criu_version);

  Json to_json() const;
  static HostFacts from_json(const Json& json, const std::string& document);
};

/// Throws Error::incompatible (exit 5) that names everything `here` lacks for a snapshot taken on `there`:
/// another architecture, CPU features that are missing, an older kernel, an older CRIU.
void require_compatible(const HostFacts& there, const HostFacts& here);

/// -1, 0 or 1: compares dotted version numbers ("6.18.44-x" by its leading numbers).
int compare_versions(const std::string& a, const std::string& b);

}  // namespace coldstart
