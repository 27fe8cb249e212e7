// SPDX-License-Identifier: Apache-2.0
#pragma once
// What this host's kernel can do for the memory of restored processes, found out by trying.

#include <string_view>

#include "core/memory/memory.h"

namespace coldstart {

/// Throws Error::missing if memory cannot be filled while processes run (lazy).
void require_userfaultfd();
/// Throws Error::missing if pages of shared memory cannot be mapped into private mappings (shared).
void require_shared_faults();

/// The mode for what the user said: "auto" is the fastest that is safe here. A mode that this host cannot do
/// gives way to the next slower one, which is logged as information. Throws Error::usage for another word.
MemoryMode choose_memory_mode(std::string_view word);

}  // namespace coldstart
