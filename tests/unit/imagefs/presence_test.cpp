// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/presence.h"

#include <thread>

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/base/files.h"

using namespace coldstart;
using namespace std::chrono_literals;

TEST_CASE("whoever holds the folder is waited for, and no longer") {
  const TempDir folder;
  CHECK(await_absence(folder.path(), 0ms));
  Fd first = enter_presence(folder.path());
  REQUIRE(first);
  Fd second = first.dup();
  CHECK_FALSE(await_absence(folder.path(), 5ms));
  first.reset();
  CHECK_FALSE(await_absence(folder.path(), 5ms));
  std::jthread leaves([&] {
    std::this_thread::sleep_for(20ms);
    second.reset();
  });
  CHECK(await_absence(folder.path(), 30s));
}

TEST_CASE("nobody is waited for where there is no folder, or after a cancel") {
  const TempDir folder;
  CHECK_FALSE(enter_presence(folder.path() / "none"));
  CHECK(await_absence(folder.path() / "none", 30s));
  const Fd here = enter_presence(folder.path());
  CancelToken cancel;
  cancel.cancel();
  CHECK_THROWS_AS(await_absence(folder.path(), 30s, &cancel), Error);
}
