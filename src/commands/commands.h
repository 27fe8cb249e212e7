// SPDX-License-Identifier: Apache-2.0
#pragma once
// The commands, one function and one file each (src/commands/<verb>.cpp). Each adds its subcommand, its
// options and a callback to the parser. To add a command: write its file, declare it here, and call it in
// src/cli/app.cpp.

#include <CLI/CLI.hpp>

#include "cli/session.h"

namespace coldstart {

void add_bench(CLI::App& app, Session& session);
void add_doctor(CLI::App& app, Session& session);
void add_exec(CLI::App& app, Session& session);
void add_gpu_controller(CLI::App& app, Session& session);
void add_gpu_health(CLI::App& app, Session& session);
void add_image(CLI::App& app, Session& session);
/// `image optimize`: to the command `image`.
void add_image_optimize(CLI::App& image, Session& session);
void add_launch(CLI::App& app, Session& session);
void add_lazy_pages(CLI::App& app, Session& session);
void add_logs(CLI::App& app, Session& session);
void add_mount(CLI::App& app, Session& session);
void add_pool(CLI::App& app, Session& session);
void add_ps(CLI::App& app, Session& session);
void add_recover(CLI::App& app, Session& session);
void add_pull(CLI::App& app, Session& session);
void add_push(CLI::App& app, Session& session);
void add_replica_supervisor(CLI::App& app, Session& session);
void add_restore(CLI::App& app, Session& session);
void add_run(CLI::App& app, Session& session);
void add_serve_image(CLI::App& app, Session& session);
void add_keep_image(CLI::App& app, Session& session);
void add_snapshot(CLI::App& app, Session& session);
void add_stop(CLI::App& app, Session& session);
void add_store(CLI::App& app, Session& session);
void add_umount(CLI::App& app, Session& session);
void add_weights(CLI::App& app, Session& session);

}  // namespace coldstart
