// SPDX-License-Identifier: Apache-2.0
#pragma once
// How much memory can still be taken.

#include <cstdint>
#include <filesystem>

namespace coldstart {

/// Bytes that this process could take without anything being swapped out or killed: what the host has free or
/// can drop, or what the limits of our control group and those above it (version 2) leave, if that is less. 0
/// if the kernel does not tell. `root` stands for "/": tests have another.
uint64_t available_memory(const std::filesystem::path& root = "/");

/// What there is of it at all, used or not: the host's, or the least limit of those groups.
uint64_t usable_memory(const std::filesystem::path& root = "/");

}  // namespace coldstart
