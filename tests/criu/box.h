// SPDX-License-Identifier: Apache-2.0
#pragma once
// What these tests run servers in: a sandbox with a network of its own, over a folder.

#include <filesystem>
#include <string>

#include "core/base/files.h"
#include "core/sandbox/sandbox.h"

class Box {
 public:
  explicit Box(const std::filesystem::path& lower);

  coldstart::Child start(const coldstart::ProgramSpec& spec) { return sandbox_.start(spec); }
  /// What a server inside answers to `text`: all up to the end of the connection, or of its first line if
  /// `line`. Empty if it does not answer.
  std::string talk(int port, const std::string& text, bool line = false) const;
  /// The body that a server inside answers to GET http://127.0.0.1:port/path; empty if it does not answer.
  std::string ask(int port, const std::string& path) const;
  /// As ask(), until it answers or ten seconds are over.
  std::string ask_until_ready(int port, const std::string& path) const;
  /// Of the box's pid 1: when it dies, so does all that is inside.
  pid_t init_pid() const { return sandbox_.init_pid(); }
  /// A file inside, as the host sees it.
  std::filesystem::path inside(const std::string& path) const { return sandbox_.root().string() + path; }

 private:
  coldstart::TempDir scratch_;
  coldstart::Sandbox sandbox_;
};
