// SPDX-License-Identifier: Apache-2.0
#include "core/memory/pages_window.h"

#include <sys/mman.h>

#include "core/base/error.h"
#include "core/checkpoint/shared_images.h"

namespace coldstart {

PagesWindow::PagesWindow(const Fd& pages, uint64_t offset, uint64_t size) : size_(size) {
  void* room = ::mmap(nullptr, size_ + huge_page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) throw Error::sys("cannot reserve addresses");
  room_ = static_cast<std::byte*>(room);
  const auto address = reinterpret_cast<uint64_t>(room_);
  at_ = room_ + (offset % huge_page_bytes + huge_page_bytes - address % huge_page_bytes) % huge_page_bytes;
  if (::mmap(at_, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, pages.get(),
             static_cast<off_t>(offset)) == MAP_FAILED) {
    const Error error = Error::sys("cannot map the shared copy");
    ::munmap(room_, size_ + huge_page_bytes);
    throw error;
  }
}

PagesWindow::~PagesWindow() {
  ::munmap(room_, size_ + huge_page_bytes);
}

}  // namespace coldstart
