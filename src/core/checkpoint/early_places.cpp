// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/early_places.h"

#include <fmt/format.h>

namespace coldstart {

std::set<uint64_t> early_places(const std::filesystem::path& images, const criu::Process& process) {
  std::set<uint64_t> places;
  for (const uint32_t thread : process.threads()) {
    const auto core =
        CriuImage::read(images / fmt::format("core-{}.img", thread), ImageKind::core).entry<criu::Core>(0);
    places.insert({core.thread_info().clear_tid_addr(), core.thread_info().gpregs().sp(),
                   core.thread_info().gpregs().fs_base(), core.thread_core().futex_rla(),
                   core.thread_core().sas().ss_sp(), core.thread_core().rseq_entry().rseq_abi_pointer()});
  }
  return places;
}

bool any_within(const std::set<uint64_t>& places, uint64_t start, uint64_t end) {
  const auto place = places.lower_bound(start);
  return place != places.end() && *place < end;
}

}  // namespace coldstart
