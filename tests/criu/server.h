// SPDX-License-Identifier: Apache-2.0
#pragma once
// A server in a box, and a snapshot of it.

#include <filesystem>
#include <string>
#include <vector>

#include "box.h"
#include "core/checkpoint/criu.h"

/// A server in a box of its own, with a pipe as its output.
struct Server {
  Box box;
  coldstart::Pipe out = coldstart::make_pipe();
  coldstart::Child process;

  /// Over the host's root.
  Server();
  explicit Server(const std::filesystem::path& rootfs) : box(rootfs) {}
  /// argv[0] is looked up inside.
  void start(const std::vector<std::string>& argv);
  /// A Python program; returns once it has written its first line.
  void start_python(const std::string& program);
  /// The next line of its output; empty at its end.
  std::string read_line() const;
  /// Copies a server of tests/e2e/servers inside; gives its path there.
  std::string with(const std::string& name) const;
  coldstart::StartInside starter();
};

/// The CRIU that these tests use.
const coldstart::CriuProgram& the_criu();

/// What a dump leaves: its images, and the name of the pipe that was the server's output.
struct Snapshot {
  coldstart::TempDir folder{"/var/tmp", "coldstart-criu-"};
  std::string output;
  coldstart::CancelToken cancel;
  coldstart::DumpOptions dump_options;
  coldstart::RestoreOptions restore_options;

  Snapshot();
  void dump(Server& server, const coldstart::CriuNotify& notify = {});
  void restore(Server& into, const coldstart::CriuNotify& notify = {});
  std::filesystem::path images() const { return folder.path() / "images"; }
};
