// SPDX-License-Identifier: Apache-2.0
#include "core/base/process_memory.h"

#include <doctest/doctest.h>

using namespace coldstart;

namespace {

constexpr size_t mib = size_t{1} << 20;

ProcessMapping mapping(uint64_t start, uint64_t end, uint64_t resident, bool writable = true) {
  return {{start, end}, writable, false, false, resident};
}

}  // namespace

TEST_CASE("mappings that grew are those with more in memory than their addresses had") {
  const std::vector<ProcessMapping> before = {mapping(0, 10 * mib, mib), mapping(20 * mib, 30 * mib, 9 * mib),
                                              mapping(50 * mib, 60 * mib, 5 * mib)};
  const std::vector<ProcessMapping> after = {
      mapping(0, 10 * mib, 2 * mib - 1),            // too little
      mapping(12 * mib, 14 * mib, 2 * mib),         // new
      mapping(15 * mib, 17 * mib, 2 * mib, false),  // not what anybody can have written
      mapping(20 * mib, 40 * mib, 19 * mib),        // an old one has become part of it
      mapping(50 * mib, 60 * mib, 9 * mib),         // most of it was there
      mapping(70 * mib, 80 * mib, 0)};
  CHECK(grown_mappings(before, after, mib) ==
        std::vector<AddressRange>{{12 * mib, 14 * mib}, {20 * mib, 40 * mib}});
}
