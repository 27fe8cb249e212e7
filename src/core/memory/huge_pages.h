// SPDX-License-Identifier: Apache-2.0
#pragma once
// The shared copy in huge pages of 2 MiB. One entry in a page table maps all of such a page, so what takes
// UFFDIO_CONTINUE 130 us, while the replica runs and wants the processor, takes 1 us before it does.
//
// Only plain page faults map so, and none of ours can be plain once userfaultfd watches over the memory: so
// they are caused before that, from outside, by reading a byte of each huge page (process_vm_readv(2)).
//
// Where the process writes, or changes a part of its mapping, the kernel takes the whole entry out again;
// then the small pages are asked for like any others. So only large mappings are mapped that way: what is
// written again and again (heaps) is mostly small, and what is large (weights) mostly only read. The small
// pages of a huge one lie side by side, which makes them quicker to map, too (a quarter).
//
// A huge page must be whole: all of it is in the snapshot, and lies the same way in the process and in the
// pages file (choose_shared_mappings() sees to that).

#include <chrono>
#include <vector>

#include <sys/types.h>

#include "core/memory/shared_pages.h"

namespace coldstart {

/// Makes what is whole of the copy huge: best before it is filled, as then nothing has to be moved. What the
/// kernel has no huge page for, even when asked twice, stays as it is. May take seconds. Meant for a copy
/// that nobody maps yet. Throws what the snapshot throws.
void make_huge(SharedPages& shared, const SnapshotPages& snapshot);

/// Maps what is huge of the copy into a process, until `until`; gives what was mapped, by its addresses,
/// which are those of the dump. `pid` is the process as we see it: nothing in it may run, and its shared
/// mappings must not be registered with userfaultfd yet. Without the permission, and where there is nothing
/// huge, it maps nothing.
std::vector<Piece> map_huge(pid_t pid, const SharedProcess& shared, const PageSource& source,
                            std::chrono::steady_clock::time_point until);

}  // namespace coldstart
