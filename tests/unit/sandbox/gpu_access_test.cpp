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

TEST_CASE("device nodes that are not there yet are made by NVIDIA's program, once") {
  const TempDir host;
  const fs::path at = host.path();
  for (const char* folder : {"dev", "usr/bin", "sys/module"}) fs::create_directories(at / folder);
  const fs::path program = at / "usr/bin/nvidia-modprobe";
  const std::string script = "#!/bin/sh\necho \"$@\" >>" + (at / "calls").string() + "\n: >" +
                             (at / "dev/nvidia-uvm").string() + "\n";
  write_full(open_file(program, O_WRONLY | O_CREAT | O_EXCL, 0755).get(), as_bytes(script));
  make_missing_nodes(at);  // the driver is not loaded
  CHECK(!fs::exists(at / "calls"));
  fs::create_directory(at / "sys/module/nvidia");
  make_missing_nodes(at);
  make_missing_nodes(at);
  CHECK(read_text(at / "calls") == "-c 0 -u\n");
  // One that fails, and none.
  fs::remove(at / "dev/nvidia-uvm");
  fs::remove(program);
  write_full(open_file(program, O_WRONLY | O_CREAT | O_EXCL, 0755).get(), as_bytes("#!/bin/sh\nexit 1\n"));
  CHECK_NOTHROW(make_missing_nodes(at));
  fs::remove(program);
  CHECK_NOTHROW(make_missing_nodes(at));
}
