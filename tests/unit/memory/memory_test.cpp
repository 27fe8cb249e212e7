// SPDX-License-Identifier: Apache-2.0
#include "core/memory/memory.h"

#include <csignal>
#include <string>

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/base/files.h"

namespace coldstart {
namespace {

TEST_CASE("memory server: one that is killed is not waited for, though its guardian lives") {
  // A program in the server's place: a script, which is told its descriptors as the server is.
  const TempDir folder;
  const auto script = folder.path() / "server";
  const auto guardian = folder.path() / "guardian";
  write_file_atomic(script,
                    as_bytes("#!/bin/sh\n"
                             "sleep 1000 &\n"  // it, too, holds the control socket, and may wait for us
                             "echo $! >" +
                             guardian.string() +
                             "\n"
                             "printf + >&3\n"
                             "head -c 1 <&4 >/dev/null\n"
                             "kill -9 $$\n"),
                    0755);
  MemoryServerOptions options;
  options.program = script;
  options.shared = folder.path();
  MemoryServer server(options);
  server.until_it_listens();
  CancelToken never;
  std::string said;
  try {
    server.settle(never);
  } catch (const Error& e) {
    said = e.message();
  }
  CHECK(said == "the page server was killed by signal 9");
  CHECK(::kill(std::stoi(read_text(guardian, 32)), SIGKILL) == 0);
}

}  // namespace
}  // namespace coldstart
