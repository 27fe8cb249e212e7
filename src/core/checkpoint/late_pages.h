// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which pages may come back after the restore, also where CRIU did not say so.
//
// CRIU 4.2 dumps the pages that a thread's stack pointer is in as not lazy, but compares only the low bits of
// the two addresses (is_stack in criu/mem.c): nothing is exempt as a rule, and once the stack pointer of any
// thread happens to be at the start of a page, every page of that process is. Of a process with 64 threads
// that is one dump in four, whose memory would be neither shared nor deduplicated and be copied by each
// restore.

#include <filesystem>
#include <vector>

#include "core/checkpoint/images.h"

namespace coldstart {

/// Whether CRIU lets the pages of this mapping come late.
bool may_come_late(const criu::Vma& vma);
/// Of them, those that are nothing but anonymous memory: no vdso, no guard, no shadow stack.
bool is_ordinary(const criu::Vma& vma);

/// In the pagemaps of these processes, calls lazy what is in mappings of ordinary memory, which may come
/// late. Pagemaps that say so already are not written. Throws Error::corrupt.
void mark_late_pages(const std::filesystem::path& images, const std::vector<ImageProcess>& processes);

}  // namespace coldstart
