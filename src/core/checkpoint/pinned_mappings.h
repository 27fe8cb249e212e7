// SPDX-License-Identifier: Apache-2.0
#pragma once
// A dump is told which of its mappings a device driver is going to pin (pinned_list.h).

#include <filesystem>
#include <vector>

#include "core/checkpoint/pinned_list.h"

namespace coldstart {

/// Lists those of `mappings` beside the images that these have just so, and lets CRIU ask for huge pages in
/// them. What has changed since it was looked at, or is touched before anybody watches over it
/// (early_places.h), is left out: its pages come as all others do.
void keep_pinned_mappings(const std::filesystem::path& images, const std::vector<PinnedMapping>& mappings);

}  // namespace coldstart
