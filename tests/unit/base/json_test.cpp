// SPDX-License-Identifier: Apache-2.0
#include "core/base/json.h"

#include <doctest/doctest.h>

namespace coldstart {

TEST_CASE("a field is what its type can hold, or an error that names it") {
  const Json json =
      parse_json(R"({"n": 7, "less": -1, "much": 4294967296, "far": 1e99, "part": 1.5, "yes": true,
                                   "list": [1, 2], "mixed": [1, -2], "text": "7"})",
                 "the test");
  CHECK(field<int>(json, "n", "the test") == 7);
  CHECK(field<double>(json, "n", "the test") == 7.0);
  CHECK(field<int64_t>(json, "less", "the test") == -1);
  CHECK(field<uint64_t>(json, "much", "the test") == 4294967296U);
  CHECK(field<bool>(json, "yes", "the test"));
  CHECK(field<std::vector<uint64_t>>(json, "list", "the test") == std::vector<uint64_t>{1, 2});
  CHECK_THROWS_WITH_AS(field<uint32_t>(json, "much", "the test"),
                       "the test: the field 'much' has the wrong type", Error);
  for (const char* bad : {"less", "far", "part", "yes", "text", "list", "absent"}) {
    INFO(bad);
    CHECK_THROWS_AS(field<uint64_t>(json, bad, "the test"), Error);
  }
  CHECK_THROWS_AS(field<std::vector<uint32_t>>(json, "mixed", "the test"), Error);
  CHECK_THROWS_AS(field<int>(json, "far", "the test"), Error);
}

}  // namespace coldstart
