// SPDX-License-Identifier: Apache-2.0
#pragma once
// What push, pull and mount ask about a remote.

#include <CLI/CLI.hpp>

#include "cli/session.h"
#include "core/remote/object_store.h"

namespace coldstart {

struct RemoteArguments {
  double timeout = 30;
  std::string near;
  uint64_t limit = 0;

  /// --remote-timeout and --near.
  void add_to(CLI::App& command);
  /// --limit-rate.
  void add_limit_to(CLI::App& command);
  /// For a command that somebody waits for.
  RemoteOptions options(Session& session) const;
};

}  // namespace coldstart
