// SPDX-License-Identifier: Apache-2.0
#pragma once
// What these tests run servers in: an overlay root over a folder, own pid, mount and network namespaces.

#include <filesystem>
#include <string>

#include "core/base/files.h"
#include "core/base/subprocess.h"
#include "core/sandbox/sandbox.h"

/// As Sandbox, with no more than CRIU needs. Ended with all that is inside.
class Box {
 public:
  explicit Box(const std::filesystem::path& lower);

  coldstart::Child start(const coldstart::ProgramSpec& spec) const;
  /// The body that a server inside answers to GET http://127.0.0.1:port/path; empty if it does not answer.
  std::string ask(int port, const std::string& path) const;
  /// As ask(), until it answers or ten seconds are over.
  std::string ask_until_ready(int port, const std::string& path) const;
  pid_t init() const { return init_.pid(); }
  /// The pid that a process of ours has inside.
  static pid_t pid_inside(pid_t pid);
  /// A file inside, as the host sees it.
  std::filesystem::path inside(const std::string& path) const;

 private:
  coldstart::TempDir scratch_;
  coldstart::Child init_;
};
