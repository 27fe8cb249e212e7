// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/keeper_link.h"

#include <doctest/doctest.h>
#include <unistd.h>

using namespace coldstart;

TEST_CASE("only a living parent is a keeper") {
  for (const pid_t none : {0, -1, ::getpid()}) {
    const KeeperLink link(none);
    CHECK(link.pid() == 0);
    CHECK_FALSE(link.ask_upgrade());
  }
  // 0 where the parent is outside our pid namespace.
  CHECK(KeeperLink(::getppid()).pid() == ::getppid());
}
