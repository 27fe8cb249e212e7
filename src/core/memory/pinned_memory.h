// SPDX-License-Identifier: Apache-2.0
#pragma once
// Memory that a device driver is going to pin (checkpoint/pinned_list.h), brought whole.
//
// It is written from outside (process_vm_writev(2)), as UFFDIO_COPY makes no huge pages: a huge page is
// allocated by the first byte that is written to it, and then pinned at once instead of 512 times.

#include <cstdint>

#include <sys/types.h>

#include "core/memory/page_source.h"
#include "core/memory/pages_window.h"
#include "core/memory/shared_pages.h"

namespace coldstart {

/// The bytes of one of a shared copy's pinned mappings, where the copy has them since the snapshot. Elsewhere
/// they are the source's own, and are not put into the copy: that would take longer than the restore that
/// wants them, and the next one would save half as much.
class CopiedPages final : public PageSource {
 public:
  CopiedPages(SharedPages& pages, const SharedMapping& mapping, const PageSource& source);
  ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan scratch) const override;

 private:
  SharedPages& pages_;
  const SharedMapping mapping_;
  const PageSource& source_;
  const PagesWindow window_;
};

/// Brings all pages of a mapping, those that the snapshot has nothing of too, with as many threads as there
/// are processors; gives the bytes of the snapshot. `pid` is the process as we see it: nothing in it may run,
/// the mapping must be where it was at the dump, writable, empty, and not registered with userfaultfd. Throws
/// what the source throws, or if the process cannot be written to.
uint64_t bring_pinned(pid_t pid, const Piece& mapping, const PageSource& source);

}  // namespace coldstart
