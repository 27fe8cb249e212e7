// SPDX-License-Identifier: Apache-2.0
#pragma once
// The commands of `bench` that have a file of their own.

#include "core/bench/report.h"

namespace CLI {
class App;
}

namespace coldstart {

struct Session;

void add_bench_plot(CLI::App& bench, Session& session);

/// What an --export-json wrote.
BenchReport read_bench_report(const std::string& file);

}  // namespace coldstart
