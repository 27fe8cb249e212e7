// SPDX-License-Identifier: Apache-2.0
#pragma once
// A part of the pages file in our own address space, so that what is huge in the file can be mapped so.

#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/fd.h"

namespace coldstart {

class PagesWindow {
 public:
  /// `size` bytes from `offset` on, a whole number of pages both. Writable.
  PagesWindow(const Fd& pages, uint64_t offset, uint64_t size);
  PagesWindow(const PagesWindow&) = delete;
  PagesWindow& operator=(const PagesWindow&) = delete;
  ~PagesWindow();
  std::byte* at() const { return at_; }
  uint64_t size() const { return size_; }

 private:
  const uint64_t size_;
  std::byte* room_ = nullptr;
  std::byte* at_ = nullptr;
};

}  // namespace coldstart
