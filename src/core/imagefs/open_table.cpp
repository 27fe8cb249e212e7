// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/open_table.h"

#include <sys/mman.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

OpenTable::OpenTable(uint32_t inodes, int memory) : bytes_((size_t{inodes} + 1) * sizeof(Entry)) {
  if (memory >= 0) check(::ftruncate(memory, static_cast<off_t>(bytes_)), "cannot size the table of opens");
  const int kind = memory >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* at = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, kind, memory, 0);
  if (at == MAP_FAILED) throw Error::sys("cannot map the table of opens");
  entries_ = static_cast<Entry*>(at);
}

OpenTable::~OpenTable() {
  ::munmap(entries_, bytes_);
}

}  // namespace coldstart
