// SPDX-License-Identifier: Apache-2.0
#pragma once
// NVIDIA's cuda-checkpoint, as which this binary works when it is called by that name: same options, outputs
// and exit statuses, so that CRIU's CUDA plugin, podman and others can use it. It speaks to the driver
// itself, and so pays for a cuInit at each call, as the original does.

#include <iosfwd>
#include <string>
#include <vector>

namespace coldstart {

/// True if a program that was started as `name` is to be cuda-checkpoint.
bool is_cuda_checkpoint(const std::string& name);

/// Gives the exit status: 0, or 1 with a line on `err`.
int run_cuda_checkpoint(std::vector<std::string> arguments, std::ostream& out, std::ostream& err);

}  // namespace coldstart
