// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/preflight.h"

#include <doctest/doctest.h>

using namespace coldstart;

TEST_CASE("device memory that the host has no room for") {
  CHECK(!lack_of_host_memory(4096));
  const auto lacking = lack_of_host_memory(uint64_t{1} << 60);
  REQUIRE(lacking);
  CHECK(lacking->starts_with("1099511627776 MiB of device memory go through memory of the host, where "));
}
