// SPDX-License-Identifier: Apache-2.0
#pragma once
// The shared copy in huge pages of 2 MiB: a replica then gets one entry in its page tables where it would get
// 512, which are what a restore takes its time for.
//
// A huge page must be whole: all of it is in the snapshot, and lies the same way in the process and in the
// pages file (choose_shared_mappings() sees to that). Once a process writes to one, the kernel takes the
// entry away, and the process misses small pages, as if it had never been there.

#include <cstdint>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "core/memory/shared_pages.h"

namespace coldstart {

/// Makes what is whole of the copy huge: best before it is filled, as then nothing has to be moved. What the
/// kernel does not make huge stays as it is. May take seconds; replicas that run meanwhile notice nothing.
/// Throws what the snapshot throws.
void make_huge(SharedPages& shared, const SnapshotPages& snapshot);

/// Maps the huge pages of the copy into the process `pid`, which has the mappings of `shared` and in which
/// nobody runs or watches over them with a userfaultfd yet. Gives what is mapped, [start, end) in order; less
/// than all where the kernel (before Linux 6.7) or the process does not let us.
std::vector<std::pair<uint64_t, uint64_t>> map_huge(pid_t pid, const SharedProcess& shared,
                                                    const PageSource& source);

}  // namespace coldstart
