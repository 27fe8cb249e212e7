// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"
#include "core/gpu/controller.h"

namespace coldstart {

void add_gpu_controller(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("gpu-controller", "Speaks to the NVIDIA driver; started by others");
  command->callback([&session] { serve_gpu(GpuController::socket_number, session.store_root); });
}

}  // namespace coldstart
