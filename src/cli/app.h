// SPDX-License-Identifier: Apache-2.0
#pragma once
// The whole command line as a function, so that tests can run it in their own process.

#include <memory>
#include <string>
#include <vector>

#include "cli/session.h"

namespace CLI {
class App;
}

namespace coldstart {

/// The parser with every command and option (not yet parsed); `session` must outlive it.
std::unique_ptr<CLI::App> make_app(Session& session);

/// Runs one command line (without argv[0]); gives the exit status. Errors are shown on the console.
int run_app(const std::vector<std::string>& arguments, Console& console, CancelToken& cancel);

}  // namespace coldstart
