// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/gpu_watch.h"

#include <doctest/doctest.h>

#include "core/base/error.h"

using namespace coldstart;

TEST_CASE("GPUs that are not well are named, with what is wrong; of others nothing is said") {
  const GpuUuid one = *parse_gpu_uuid("GPU-00000000-0000-0000-0000-000000000001");
  const GpuUuid two = *parse_gpu_uuid("GPU-00000000-0000-0000-0000-000000000002");
  CHECK_NOTHROW(require_well({one, two}, {}));
  CHECK_NOTHROW(require_well({one}, {{two, "it has 99 C"}}));
  CHECK_THROWS_WITH_AS(require_well({one, two}, {{two, "it has 99 C"}}),
                       "GPU-00000000-0000-0000-0000-000000000002 is not well: it has 99 C", Error);
  CHECK(GpuWatch(std::chrono::seconds(1)).known_ill().empty());  // nobody has asked
}
