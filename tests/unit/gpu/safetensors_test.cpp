// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/safetensors.h"

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/base/files.h"

using namespace coldstart;

namespace {

Bytes file_of(const std::string& header, size_t data) {
  const uint64_t length = header.size();
  Bytes bytes(sizeof length + header.size() + data);
  std::memcpy(bytes.data(), &length, sizeof length);
  std::memcpy(bytes.data() + sizeof length, header.data(), header.size());
  return bytes;
}

bool is_corrupt(const Bytes& bytes, uint64_t size = 0) {
  try {
    parse_safetensors(bytes, size == 0 ? bytes.size() : size, "it");
  } catch (const Error& e) {
    return e.exit() == Exit::corrupt;
  }
  return false;
}

const std::string two =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},)"
    R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";

}  // namespace

TEST_CASE("tensors come in the order of the file, with their places in it") {
  const Bytes bytes = file_of(two, 22);
  const std::vector<Tensor> tensors = parse_safetensors(bytes, bytes.size(), "it");
  REQUIRE(tensors.size() == 2);
  CHECK(tensors[0].name == "a");
  CHECK(tensors[0].offset == 8 + two.size());
  CHECK(tensors[0].bytes == 16);
  CHECK(tensors[1].name == "b");
  CHECK(tensors[1].shape == std::vector<uint64_t>{3});
  const TempDir folder;
  write_file_atomic(folder.path() / "f", bytes);
  CHECK(read_safetensors(folder.path() / "f").size() == 2);
}

TEST_CASE("a header that lies is refused") {
  const auto one = [](const std::string& entry) { return file_of("{\"a\":" + entry + "}", 16); };
  CHECK(is_corrupt(one(R"({"dtype":"F32","shape":[2,2],"data_offsets":[0,17]})")));
  CHECK(is_corrupt(one(R"({"dtype":"F32","shape":[2,2],"data_offsets":[16,0]})")));
  CHECK(is_corrupt(one(R"({"dtype":"F32","shape":[2,3],"data_offsets":[0,16]})")));
  CHECK(is_corrupt(one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})")));
  CHECK(is_corrupt(one(R"({"dtype":"F32","shape":[2,2],"data_offsets":[0]})")));
  CHECK(is_corrupt(one(R"({"dtype":"F32","shape":[-2,2],"data_offsets":[0,16]})")) == true);
  CHECK(is_corrupt(one("7")));
  CHECK(is_corrupt(file_of("[]", 0)));
  CHECK(is_corrupt(file_of("{", 0)));
  CHECK(is_corrupt(file_of(R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]},)"
                           R"("b":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}})",
                           16)));
  CHECK(is_corrupt(Bytes(7)));
  Bytes huge = file_of("{}", 0);
  huge[7] = std::byte{0x7f};
  CHECK(is_corrupt(huge));
}
