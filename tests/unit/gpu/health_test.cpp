// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/health.h"

#include <doctest/doctest.h>

#include "core/base/error.h"

using namespace coldstart;

TEST_CASE("XID errors are found in the kernel's log, and when they came") {
  const std::vector<Xid> found = xids_in(
      "<6>[    1.5] eth0: up\n<3>[ 4242.25] NVRM: Xid (PCI:0000:65:00): 79, pid=4711, GPU has fallen off the "
      "bus\n"
      "<3>NVRM: Xid (PCI:0000:66:00): 31, pid=1\n<3>[5.0] NVRM: Xid (PCI:0000:67:00\n<3>[6.0] NVRM: Xid "
      "(PCI:1): x");
  REQUIRE(found.size() == 2);
  CHECK(found[0].pci == "0000:65:00");
  CHECK(found[0].number == 79);
  CHECK(found[0].seconds == 4242.25);
  CHECK(found[1].number == 31);
  CHECK(found[1].seconds == 0);
}

TEST_CASE("an XID error is a problem of the GPU it is of, once, and not before its time") {
  GpuInfo gpu;
  gpu.pci = "0000:65:00";
  const std::vector<Xid> xids = {
      {"0000:65:00", 79, 10}, {"0000:65:00", 79, 11}, {"0000:65:00", 31, 12}, {"0000:66:00", 48, 13}};
  const std::vector<std::string> problems = problems_of(gpu, xids, 5);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0] == "the kernel logged XID 79 on 0000:65:00: it has fallen off the bus");
  CHECK(problems_of(gpu, xids, 11.5).empty());
  gpu.pci = "0000:67:00";
  CHECK(problems_of(gpu, xids, 0).empty());
  gpu.pci = "";  // not told
  CHECK(problems_of(gpu, xids, 0).size() == 2);
}

TEST_CASE("what is wrong with GPUs is told from one process to another") {
  GpuHealth well, ill;
  well.gpu.uuid = *parse_gpu_uuid("GPU-00000000-0000-0000-0000-000000000001");
  well.bytes_per_second = 2e12;
  ill.gpu.uuid = *parse_gpu_uuid("GPU-00000000-0000-0000-0000-000000000002");
  ill.problems = {"it has 95 C", "it multiplies matrices wrongly"};
  const Json said = Json::parse(to_json(std::vector<GpuHealth>{well, ill}).dump());
  CHECK(said[0].at("bytes_per_second") == 2e12);
  CHECK(said[1].at("bytes_per_second").is_null());
  const auto problems = gpu_problems_from(said);
  REQUIRE(problems.size() == 2);
  CHECK(problems.at(well.gpu.uuid).empty());
  CHECK(problems.at(ill.gpu.uuid) == ill.problems);
  CHECK_THROWS_AS(gpu_problems_from(Json::object()), Error);
  CHECK_THROWS_AS(gpu_problems_from(Json::parse(R"([{"uuid": "GPU-1", "problems": []}])")), Error);
  CHECK_THROWS_AS(gpu_problems_from(Json::parse(R"([{"uuid": "GPU-00000000-0000-0000-0000-000000000001"}])")),
                  Error);
}
