// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/weights_list.h"

#include <doctest/doctest.h>

using namespace coldstart;

namespace {

Exit status_of(const std::string& text) {
  try {
    WeightsList::parse(text, "test");
    return Exit::ok;
  } catch (const Error& e) {
    return e.exit();
  }
}

std::string with_tensor(const std::string& fields) {
  return R"({"tensors": [{"name": "a")" + fields + "}]}";
}

}  // namespace

TEST_CASE("a list of placed tensors") {
  const std::string handle(128, 'f');
  const WeightsList list = WeightsList::parse(
      R"({"gpu": "GPU-00000000-0000-0000-0000-000000000007", "more": 1, "tensors": [
         {"name": "a", "file": "/x", "handle": ")" +
          handle + R"(", "offset": 512, "from": 3, "bytes": 8},
         {"name": "b", "digest": "sha256:)" +
          Digest::of(as_bytes("b")).hex() + R"("}]})",
      "test");
  CHECK(!list.image);
  CHECK(list.gpu->bytes.back() == 7);
  REQUIRE(list.tensors.size() == 2);
  CHECK(list.tensors[0].file == "/x");
  CHECK(list.tensors[0].handle->bytes[63] == '\xff');
  CHECK(list.tensors[0].offset == 512);
  CHECK(list.tensors[0].from == 3);
  CHECK(list.tensors[0].bytes == 8U);
  CHECK(!list.tensors[1].handle);
  CHECK(!list.tensors[1].bytes);
  CHECK(list.tensors[1].digest == Digest::of(as_bytes("b")));

  // What drop says is what refill reads, once the handles are in it.
  const Digest image = Digest::of(as_bytes("image"));
  const WeightsList again = WeightsList::parse(to_json(list, image, {0}).dump(), "test");
  CHECK(again.image == image);
  REQUIRE(again.tensors.size() == 1);
  CHECK(again.tensors[0].name == "a");
  CHECK(again.tensors[0].from == 3);
  CHECK(again.tensors[0].bytes == 8U);
  CHECK(!again.tensors[0].handle);
}

TEST_CASE("what is no list is refused") {
  CHECK(status_of(with_tensor("")) == Exit::ok);
  for (const char* text : {"", "[]", "7", "{}", R"({"tensors": {}})", R"({"tensors": [7]})",
                           R"({"tensors": [{"file": "no name"}]})", R"({"tensors": [], "image": "x"})",
                           R"({"tensors": [], "gpu": "x"})", R"({"tensors": [], "gpu": 7})"})
    CHECK_MESSAGE(status_of(text) == Exit::corrupt, text);
  for (const std::string& field :
       {std::string(R"("offset": -1)"), std::string(R"("offset": 1.5)"), std::string(R"("bytes": "8")"),
        std::string(R"("from": 1e30)"), std::string(R"("handle": "ff")"), std::string(R"("digest": "ff")"),
        R"("handle": ")" + std::string(128, 'g') + '"', std::string(R"("handle": 7)")})
    CHECK_MESSAGE(status_of(with_tensor(", " + field)) == Exit::corrupt, field);
}
