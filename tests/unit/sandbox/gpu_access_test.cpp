// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/gpu_access.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include "core/base/files.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

void file(const fs::path& path) {
  open_file(path, O_WRONLY | O_CREAT | O_EXCL);
}

}  // namespace

TEST_CASE("the driver's libraries are those beside libcuda that have its version") {
  const TempDir folder;
  const fs::path at = folder.path();
  for (const char* name :
       {"libcuda.so.580.65.06", "libnvidia-ml.so.580.65.06", "libnvidia-gpucomp.so.580.65.06",
        "libnvidia-nvvm70.so.4", "libnvidia-ml.so.570.1", "libnvidia-container.so.1.17.8", "libc.so.6",
        "notlib.so.580.65.06", "libcuda.so.580.65.06.bak"})
    file(at / name);
  fs::create_symlink("libcuda.so.580.65.06", at / "libcuda.so.1");
  fs::create_symlink("libcuda.so.1", at / "libcuda.so");
  fs::create_symlink(at / "libnvidia-ml.so.580.65.06", at / "libnvidia-ml.so.1");
  fs::create_symlink("libnvidia-ml.so.570.1", at / "libnvidia-ml.so.0");
  fs::create_symlink("gone", at / "libcuda.so.2");
  fs::create_directory(at / "alternatives");
  fs::create_symlink("../libcuda.so.1", at / "alternatives/libcuda.so.1");
  for (const char* named : {"libcuda.so.1", "libcuda.so.580.65.06", "alternatives/libcuda.so.1"}) {
    const std::vector<DriverLibrary> found = driver_libraries(at / named);
    REQUIRE(found.size() == 4);
    CHECK(found[0].name == "libcuda.so.580.65.06");
    CHECK(found[0].source == at / "libcuda.so.580.65.06");
    CHECK(found[0].links == std::vector<std::string>{"libcuda.so", "libcuda.so.1"});
    CHECK(found[1].name == "libnvidia-gpucomp.so.580.65.06");
    CHECK(found[1].links.empty());
    CHECK(found[2].name == "libnvidia-ml.so.580.65.06");
    CHECK(found[2].links == std::vector<std::string>{"libnvidia-ml.so.1"});
    CHECK(found[3].name == "libnvidia-nvvm70.so.4");
  }
}

TEST_CASE("a libcuda without a version stands for itself") {
  const TempDir folder;
  file(folder.path() / "libcuda.so.1");
  const std::vector<DriverLibrary> found = driver_libraries(folder.path() / "libcuda.so.1");
  REQUIRE(found.size() == 1);
  CHECK(found[0].name == "libcuda.so.1");
  CHECK(found[0].links.empty());
  CHECK(driver_libraries(folder.path() / "none").empty());
}
