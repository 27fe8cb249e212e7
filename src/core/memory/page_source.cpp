// SPDX-License-Identifier: Apache-2.0
#include "core/memory/page_source.h"

#include <sys/mman.h>

#include "core/base/error.h"
#include "core/checkpoint/late_pages.h"

namespace coldstart {

namespace {

constexpr uint64_t dont_fork = 1U << MADV_DONTFORK;
constexpr uint64_t wipe_on_fork = 1U << MADV_WIPEONFORK;

}  // namespace

void PageSource::take_mappings(const criu::Mm& mm, const std::string& shown) {
  for (const criu::Vma& vma : mm.vmas()) {
    if (vma.start() >= vma.end()) throw Error::corrupt(shown + " has a mapping that ends before it begins");
    if (may_come_late(vma)) mappings_.push_back({vma.start(), vma.end() - vma.start(), vma.start()});
    if (vma.madv() & (dont_fork | wipe_on_fork)) not_inherited_.emplace_back(vma.start(), vma.end());
  }
}

}  // namespace coldstart
