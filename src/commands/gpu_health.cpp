// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"
#include "core/gpu/health.h"

namespace coldstart {

void add_gpu_health(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("gpu-health", "What is wrong with the GPUs; asked by others");
  auto told = std::make_shared<bool>(false);
  auto since = std::make_shared<double>(0);
  command->add_flag("--told", *told, "Do not try them");
  command->add_option("--xids-since", *since, "Seconds after the boot before which errors are history");
  command->callback([&session, told, since] {
    std::vector<GpuHealth> all = gpu_health_told(*since);
    if (!*told) try_gpus(all);
    for (const GpuHealth& one : all) session.console.line(one.text());
    session.console.result(to_json(all));
  });
}

}  // namespace coldstart
