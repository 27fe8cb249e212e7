// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/facts.h"

#include <functional>

#include <doctest/doctest.h>

#include "core/base/error.h"

using namespace coldstart;

namespace {

GpuUuid uuid(uint8_t number) {
  GpuUuid result;
  result.bytes.back() = number;
  return result;
}

GpuInfo gpu(uint8_t number, const std::string& name = "H100", uint64_t total = 80, uint64_t free_bytes = 80) {
  GpuInfo info;
  info.index = number;
  info.uuid = uuid(number);
  info.name = name;
  info.total_bytes = total;
  info.free_bytes = free_bytes;
  return info;
}

GpuSnapshotFacts snapshot_of(std::initializer_list<uint8_t> numbers) {
  GpuSnapshotFacts facts;
  facts.driver = "580.95.05";
  facts.pids = {1000};
  for (const uint8_t number : numbers) facts.gpus.push_back({uuid(number), "H100", 80, 30});
  return facts;
}

GpuMap choose(const GpuSnapshotFacts& facts, std::vector<GpuInfo> gpus, const GpuMap& asked = {},
              const char* driver = "580.95.05") {
  const GpuInventory host{driver, std::move(gpus)};
  return choose_gpus(facts, host, host.gpus, asked);
}

Exit refusal(const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& e) {
    return e.exit();
  }
  return Exit::ok;
}

}  // namespace

TEST_CASE(
    "a GPU that is there stays; another of its kind with most free memory takes the place of one that is "
    "not") {
  CHECK(choose(snapshot_of({1, 2}), {gpu(2), gpu(1)}).empty());
  const GpuMap map = choose(snapshot_of({1, 2}), {gpu(2), gpu(3, "A100"), gpu(4, "H100", 80, 40), gpu(5)});
  CHECK(map == GpuMap{{uuid(1), uuid(5)}, {uuid(2), uuid(2)}});
}

TEST_CASE("a GPU that is full gives way to another of its kind, if the driver can move") {
  CHECK(choose(snapshot_of({1}), {gpu(1, "H100", 80, 29), gpu(2, "H100", 80, 30)}) ==
        GpuMap{{uuid(1), uuid(2)}});
  CHECK(choose(snapshot_of({1}), {gpu(1, "H100", 80, 30), gpu(2, "H100", 80, 80)}).empty());
  CHECK(choose(snapshot_of({1}), {gpu(1, "H100", 80, 10), gpu(2, "H100", 80, 29)}).empty());
  CHECK(choose(snapshot_of({1}), {gpu(1, "H100", 80, 10), gpu(2, "A100", 80, 80)}).empty());
  // The other is wanted by the snapshot's second.
  CHECK(choose(snapshot_of({1, 2}), {gpu(1, "H100", 80, 10), gpu(2)}).empty());
  GpuSnapshotFacts old = snapshot_of({1});
  old.driver = "570.86";
  const GpuInventory host{"575.51", {gpu(1, "H100", 80, 10), gpu(2)}};
  CHECK(choose_gpus(old, host, host.gpus, {}).empty());
}

TEST_CASE("what a host lacks is incompatible") {
  CHECK(refusal([] { choose(snapshot_of({1}), {gpu(2, "A100")}); }) == Exit::incompatible);
  CHECK(refusal([] { choose(snapshot_of({1}), {gpu(1, "A100")}); }) == Exit::incompatible);
  CHECK(refusal([] { choose(snapshot_of({1}), {gpu(2, "H100", 20)}); }) == Exit::incompatible);
  CHECK(refusal([] { choose(snapshot_of({1, 2}), {gpu(1)}); }) == Exit::incompatible);
  CHECK(refusal([] { choose(snapshot_of({1}), {}); }) == Exit::incompatible);
  CHECK(refusal([] { choose(snapshot_of({1}), {gpu(1)}, {}, "575.51"); }) == Exit::incompatible);
  GpuSnapshotFacts old = snapshot_of({1});
  old.driver = "570.86";
  CHECK(refusal([&] { choose(old, {gpu(2)}, {}, "575.51"); }) == Exit::incompatible);  // it cannot move
  CHECK(refusal([&] { choose(old, {gpu(1)}, {}, "575.51"); }) == Exit::ok);
}

TEST_CASE("as asked, and the driver is told of all GPUs") {
  const GpuMap asked = {{uuid(1), uuid(3)}};
  CHECK(choose(snapshot_of({1, 2}), {gpu(1), gpu(2), gpu(3)}, asked) ==
        GpuMap{{uuid(1), uuid(3)}, {uuid(2), uuid(2)}});
  CHECK(refusal([&] { choose(snapshot_of({2}), {gpu(2), gpu(3)}, asked); }) == Exit::usage);
  CHECK(refusal([&] { choose(snapshot_of({1}), {gpu(1)}, asked); }) == Exit::incompatible);
}

TEST_CASE("CUDA_VISIBLE_DEVICES") {
  const std::vector<GpuInfo> all = {gpu(0), gpu(1), gpu(2)};
  CHECK(visible_gpus(all, nullptr).size() == 3);
  CHECK(visible_gpus(all, "").empty());
  REQUIRE(visible_gpus(all, "2,0").size() == 2);
  CHECK(visible_gpus(all, "2,0").front().index == 2);
  CHECK(visible_gpus(all, "1,-1,2").size() == 1);
  CHECK(visible_gpus(all, to_text(uuid(1)).c_str()).front().index == 1);
}

TEST_CASE("device memory that is not free is incompatible") {
  const GpuInventory host{"580", {gpu(1, "H100", 80, 20), gpu(2)}};
  CHECK(refusal([&] { require_free_device_memory(snapshot_of({1}), host, {}); }) == Exit::incompatible);
  CHECK(refusal([&] {
          require_free_device_memory(snapshot_of({1}), host, {{uuid(1), uuid(2)}});
        }) == Exit::ok);
}

TEST_CASE("facts come back from their JSON") {
  GpuSnapshotFacts facts = snapshot_of({1, 2});
  CHECK(GpuSnapshotFacts::from_json(facts.to_json(), "it").to_json() == facts.to_json());
  Json wrong = facts.to_json();
  wrong["pids"] = {0};
  CHECK(refusal([&] { GpuSnapshotFacts::from_json(wrong, "it"); }) == Exit::corrupt);
  CHECK(refusal([&] { GpuSnapshotFacts::from_json(7, "it"); }) == Exit::corrupt);
}

TEST_CASE("UUIDs and maps as text") {
  const std::string text = "GPU-01234567-89ab-cdef-0123-456789abcdef";
  CHECK(to_text(*parse_gpu_uuid(text)) == text);
  CHECK(parse_gpu_uuid(text.substr(4)) == parse_gpu_uuid(text));
  CHECK_FALSE(parse_gpu_uuid(text + "0"));
  CHECK_FALSE(parse_gpu_uuid("GPU-0"));
  const GpuMap map = {{uuid(1), uuid(2)}, {uuid(2), uuid(1)}};
  CHECK(parse_gpu_map(to_text(map)) == map);
  CHECK(parse_gpu_map("").empty());
  for (const std::string& wrong :
       {text, text + "=" + text + "," + text + "=" + to_text(uuid(1)), std::string("a=b")})
    CHECK(refusal([&] { parse_gpu_map(wrong); }) == Exit::usage);
}
