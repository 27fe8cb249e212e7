// SPDX-License-Identifier: Apache-2.0
#include "core/memory/host_support.h"

#include <atomic>
#include <thread>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

TEST_CASE("what the host can do is found out while other threads fork") {
  try {
    require_shared_faults();
  } catch (const Error& e) {
    MESSAGE("not on this host: ", e.message());
    return;
  }
  std::atomic<bool> done{false};
  std::thread forks([&] {
    for (int i = 0; i < 300; ++i) {
      const pid_t child = ::fork();
      if (child == 0) ::_exit(0);
      if (child > 0) ::waitpid(child, nullptr, 0);
    }
    done = true;
  });
  int failures = 0;
  while (!done) {
    try {
      require_shared_faults();
    } catch (const Error&) {
      ++failures;
    }
  }
  forks.join();
  CHECK(failures == 0);
}

}  // namespace coldstart
