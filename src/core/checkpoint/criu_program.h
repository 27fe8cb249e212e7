// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which CRIU there is, and how to start it where its files cannot be seen.

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/fd.h"

namespace coldstart {

/// Older ones fail on Linux 6.16 and newer.
inline constexpr const char* least_criu_version = "4.2";

/// A CRIU that was found and is new enough. A plain value.
///
/// CRIU must run inside the namespaces of what it restores, where neither it nor its libraries need be: an
/// image may have no C library at all. So it is started through a descriptor of the folder it is in: its
/// own dynamic loader, told where its libraries are, all by /proc/self/fd/N. Nothing has to be mounted or
/// copied inside, and nothing of it remains.
class CriuProgram {
 public:
  /// Looks at COLDSTART_CRIU, then at bin/criu of COLDSTART_CRIU_PREFIX (default /opt/coldstart/criu), then
  /// in PATH. Throws Error::missing that names what was found and why it will not do.
  static CriuProgram find();

  /// An executable that runs it as found.
  const std::filesystem::path& path() const { return path_; }
  const std::string& version() const { return version_; }  ///< "4.2.1"

  /// The folder that start_by() speaks of.
  Fd open_root() const;
  /// The words that run CRIU in a process that has open_root() as descriptor `root`.
  std::vector<std::string> start_by(int root) const;

 private:
  CriuProgram() = default;

  /// Where its files are: all below `root`, the others relative to it.
  struct Layout {
    std::filesystem::path root;
    std::filesystem::path loader;
    std::filesystem::path libraries;
    std::filesystem::path binary;
  };
  static Layout layout_of(const std::filesystem::path& file);

  std::filesystem::path path_;
  std::string version_;
  Layout layout_;
};

}  // namespace coldstart
