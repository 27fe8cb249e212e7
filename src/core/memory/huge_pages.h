// SPDX-License-Identifier: Apache-2.0
#pragma once
// The shared copy in huge pages of 2 MiB. Replicas still map it by small pages: as a whole it could be mapped
// at once, but would be slower to compute with (measured: matrix products of a torch server, by a tenth) and
// fall apart where the process writes. But small pages of a huge one lie side by side, so they are mapped by
// a quarter sooner, and computed with by a tenth sooner than pages from all over the memory.
//
// A huge page must be whole: all of it is in the snapshot, and lies the same way in the process and in the
// pages file (choose_shared_mappings() sees to that).

#include "core/memory/shared_pages.h"

namespace coldstart {

/// Makes what is whole of the copy huge: best before it is filled, as then nothing has to be moved. What the
/// kernel does not make huge stays as it is. May take seconds. Meant for a copy that nobody maps yet.
/// Throws what the snapshot throws.
void make_huge(SharedPages& shared, const SnapshotPages& snapshot);

}  // namespace coldstart
