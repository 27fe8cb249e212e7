// SPDX-License-Identifier: Apache-2.0
#include "core/base/many_descriptors.h"

#include <algorithm>
#include <sstream>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"

using namespace coldstart;

namespace {

/// How many descriptors the kernel's table of this process has room for.
uint64_t table_size() {
  std::istringstream status(read_text("/proc/self/status"));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("FDSize:")) return std::stoull(line.substr(7));
  return 0;
}

size_t open_descriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                           std::filesystem::directory_iterator()));
}

}  // namespace

TEST_CASE("room for many descriptors is made, and none is left open") {
  // In a process of its own, as a table never shrinks.
  const pid_t child = check(::fork(), "cannot fork");
  if (child == 0) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 100);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const size_t before = open_descriptors();
    expect_many_descriptors();
    const bool same = open_descriptors() == before;
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const bool raised = limit.rlim_cur == limit.rlim_max;
    const bool room = table_size() >= std::min<rlim_t>(limit.rlim_max, 8192);
    ::_exit((same ? 0 : 1) + (raised ? 0 : 2) + (room ? 0 : 4));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
