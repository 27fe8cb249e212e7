// SPDX-License-Identifier: Apache-2.0
#include "core/image/oci_documents.h"

#include <doctest/doctest.h>

#include "core/base/error.h"

using namespace coldstart;

namespace {

const std::string digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string with(const std::string& text) {
  std::string result = text;
  for (size_t at; (at = result.find("DIGEST")) != std::string::npos;) result.replace(at, 6, digest);
  return result;
}

}  // namespace

TEST_CASE("an index names manifests, with or without platforms and names") {
  const auto index = OciManifest::parse(
      with(R"({"manifests": [{"digest": "DIGEST", "size": 3, "platform": null, "annotations": {}},
        {"mediaType": "x", "digest": "DIGEST", "size": 4, "platform": {"os": "linux", "architecture": "arm64"},
         "annotations": {"org.opencontainers.image.ref.name": "v1"}}]})"),
      "it");
  CHECK(index.is_index);
  REQUIRE(index.manifests.size() == 2);
  CHECK(!index.manifests[0].platform);
  CHECK(index.manifests[1].platform == OciPlatform{"linux", "arm64"});
  CHECK(index.manifests[1].reference == "v1");
  CHECK(index.manifests[1].size == 4);
}

TEST_CASE("a config may leave out what is empty, or say null") {
  const auto bare =
      OciConfig::parse(R"({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": null}})", "it");
  CHECK(bare.config == ImageConfig());
  CHECK(bare.platform.text() == "linux/amd64");
  const auto full = OciConfig::parse(
      with(
          R"({"config": {"User": "a:b", "Env": ["A=B", "", "=C", "D="], "Entrypoint": null, "Cmd": ["x", "y"],
        "WorkingDir": "/w", "Volumes": {"/v": {}}}, "rootfs": {"type": "layers", "diff_ids": ["DIGEST"]}})"),
      "it");
  CHECK(full.config.environment == std::vector<std::string>{"A=B", "D="});
  CHECK(full.config.entrypoint.empty());
  CHECK(full.config.command == std::vector<std::string>{"x", "y"});
  CHECK(full.config.user == "a:b");
  CHECK(full.config.folder == "/w");
  CHECK(full.layers.size() == 1);
}

TEST_CASE("what is no such document is corrupt, by name") {
  for (const char* text : {"", "[]", "{}", R"({"manifests": {}})", R"({"manifests": [7]})",
                           R"({"manifests": [{"digest": "md5:1", "size": 1}]})",
                           R"({"manifests": [{"digest": "DIGEST", "size": -1}]})",
                           R"({"manifests": [{"digest": "DIGEST", "size": 1.5}]})", R"({"layers": []})",
                           R"({"config": {"digest": "DIGEST", "size": 1},
                               "layers": [{"mediaType": "application/json", "digest": "DIGEST", "size": 1}]})"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(OciManifest::parse(with(text), "the index"), doctest::Contains("the index"), Error);
  }
  CHECK_THROWS_AS(DockerArchiveImage::parse("[]", "it"), Error);
  CHECK_THROWS_AS(DockerArchiveImage::parse(R"([{"Config": 1}])", "it"), Error);
}

TEST_CASE("platforms are OS/ARCHITECTURE") {
  CHECK(OciPlatform::parse("linux/arm64") == OciPlatform{"linux", "arm64"});
  for (const char* text : {"", "linux", "linux/", "/arm64", "linux/arm/v7"})
    CHECK_THROWS_AS(OciPlatform::parse(text), Error);
}
