// SPDX-License-Identifier: Apache-2.0
#pragma once
// How GPUs are named, and which takes the place of which.

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/gpu/cuda_types.h"

namespace coldstart {

using GpuUuid = cuda::Uuid;

/// "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", as nvidia-smi shows it.
std::string to_text(const GpuUuid& uuid);
/// With or without "GPU-", with or without dashes; nothing if it is none.
std::optional<GpuUuid> parse_gpu_uuid(std::string_view text);

/// The GPU of the snapshot, and the one that takes its place. Empty: each is where it was.
using GpuMap = std::map<GpuUuid, GpuUuid>;

/// "OLD=NEW,OLD=NEW…"; Error::usage for what is none, for an OLD that is named twice, and for a NEW that is.
GpuMap parse_gpu_map(std::string_view text);
std::string to_text(const GpuMap& map);

}  // namespace coldstart
