// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where CRIU and the kernel touch a process's memory while it is being restored, before anybody watches over
// it: the places of its threads.

#include <cstdint>
#include <filesystem>
#include <set>

#include "core/checkpoint/images.h"

namespace coldstart {

/// Their addresses, from the cores of its threads. Throws Error::corrupt.
std::set<uint64_t> early_places(const std::filesystem::path& images, const criu::Process& process);

/// Whether one of them is in [start, end).
bool any_within(const std::set<uint64_t>& places, uint64_t start, uint64_t end);

}  // namespace coldstart
