// SPDX-License-Identifier: Apache-2.0
#pragma once
// The commands below `pool`.

#include <CLI/CLI.hpp>

#include "cli/session.h"
#include "commands/replica_options.h"
#include "core/checkpoint/manifest.h"
#include "core/pipeline/restore.h"

namespace coldstart {

void add_pool_warm(CLI::App& pool, Session& session);
/// claim, release, status, drain, stop.
void add_pool_clients(CLI::App& pool, Session& session);
void add_pool_simulate(CLI::App& pool, Session& session);

/// What a slot is restored as. Several servers of one snapshot listen on the same port: unless said otherwise
/// each gets a network of its own, and a free port of the host that leads to the port of the ready URL.
RestoreRequest slot_request(const std::string& snapshot, const ReplicaOptions& place,
                            const std::string& memory, const SnapshotManifest& manifest);

}  // namespace coldstart
