// SPDX-License-Identifier: Apache-2.0
#pragma once
// The commands below `pool`, each in a file of its own.

#include <CLI/CLI.hpp>

#include "cli/session.h"

namespace coldstart {

void add_pool_simulate(CLI::App& pool, Session& session);

}  // namespace coldstart
