// SPDX-License-Identifier: Apache-2.0
#include "core/base/available_memory.h"

#include <doctest/doctest.h>

#include "core/base/control_group.h"
#include "core/base/files.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

constexpr uint64_t mib = uint64_t{1} << 20;

/// A made-up "/" with 8 GiB available, and a tree of control groups mounted at /sys/fs/cgroup.
struct Host {
  TempDir root;

  explicit Host(const std::string& our_group, const std::string& mounted_group = "/") {
    write("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n");
    write("proc/self/mountinfo", "20 1 0:5 / /proc rw - proc proc rw\n30 1 0:26 " + mounted_group +
                                     " /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n");
    write("proc/self/cgroup", "4:memory:/elsewhere\n0::" + our_group + "\n");
  }
  void write(const std::string& file, const std::string& text) {
    fs::create_directories((root.path() / file).parent_path());
    write_file_atomic(root.path() / file, as_bytes(text));
  }
  void group(const std::string& path, const std::string& limit, uint64_t used, uint64_t cache = 0) {
    const std::string folder = "sys/fs/cgroup" + path;
    write(folder + "/memory.max", limit + "\n");
    write(folder + "/memory.current", std::to_string(used) + "\n");
    write(folder + "/memory.stat", "anon 1\nfile 2\ninactive_file " + std::to_string(cache / 2) +
                                       "\nactive_file " + std::to_string(cache - cache / 2) + "\n");
  }
  uint64_t available() { return available_memory(root.path()) / mib; }
};

std::string bytes(uint64_t mebibytes) {
  return std::to_string(mebibytes * mib);
}

}  // namespace

TEST_CASE("without a limit what the host has available counts") {
  Host host("/system.slice/pool.service");
  CHECK(host.available() == 8192);
  CHECK(usable_memory(host.root.path()) == 16384 * mib);
  host.group("/system.slice/pool.service", "max", 100 * mib);
  host.group("/system.slice", "max", 200 * mib);
  CHECK(host.available() == 8192);
}

TEST_CASE("the limit of our own control group counts, less what is used of it, without the page cache") {
  Host host("/system.slice/pool.service");
  host.group("/system.slice/pool.service", bytes(1024), 600 * mib);
  CHECK(host.available() == 424);
  host.group("/system.slice/pool.service", bytes(1024), 600 * mib, 500 * mib);
  CHECK(host.available() == 924);
  host.group("/system.slice/pool.service", bytes(1024), 1100 * mib);
  CHECK(host.available() == 0);
  host.group("/system.slice/pool.service", bytes(32768), 0);
  CHECK(host.available() == 8192);
}

TEST_CASE("so do the limits of the groups above it, and the one past which processes are held up") {
  Host host("/machine.slice/a/b");
  host.group("/machine.slice/a/b", bytes(4096), 0);
  host.group("/machine.slice/a", bytes(2048), 1024 * mib);
  CHECK(host.available() == 1024);
  CHECK(usable_memory(host.root.path()) == 2048 * mib);
  host.group("/machine.slice", bytes(512), 12 * mib);
  CHECK(host.available() == 500);
  host.write("sys/fs/cgroup/machine.slice/a/b/memory.high", bytes(300) + "\n");
  CHECK(host.available() == 300);
  host.group("/other.slice", bytes(1), mib);
  CHECK(host.available() == 300);
}

TEST_CASE("in a container the topmost group that can be seen has the limit") {
  for (const char* mounted : {"/", "/docker/c0ffee"}) {
    Host host(mounted, mounted);  // with a namespace of its own for groups, or with none
    host.group("", bytes(700), 0);
    CHECK(host.available() == 700);
    const auto own = own_control_group(host.root.path());
    REQUIRE(own);
    CHECK(own->folder == own->top);
  }
}

TEST_CASE("without control groups of version 2 there is no limit") {
  Host host("/a");
  host.group("/a", bytes(1), 0);
  host.write("proc/self/mountinfo", "31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  CHECK_FALSE(own_control_group(host.root.path()));
  CHECK(host.available() == 8192);
}
