// SPDX-License-Identifier: Apache-2.0
#pragma once
// How much memory can still be taken.

#include <cstdint>

namespace coldstart {

/// Bytes that this process could take without anything being swapped out or killed: what the host has free or
/// can drop, or what the limits of our control groups leave, if that is less. 0 if the kernel does not tell.
uint64_t available_memory();

}  // namespace coldstart
