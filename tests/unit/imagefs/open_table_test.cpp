// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/open_table.h"

#include <doctest/doctest.h>
#include <sys/mman.h>

#include "core/base/error.h"

using namespace coldstart;

TEST_CASE("while an inode is open, all opens of it are alike; and a new server knows of them") {
  const Fd memory(check(::memfd_create("opens", MFD_CLOEXEC), "memfd"));
  int dropped = 0;
  const auto drop = [&](int id) { dropped = id; };
  {
    OpenTable table(10, memory.get());
    CHECK(table.open(3, [] { return 0; }) == 0);
    CHECK(table.open(3, [] { return 5; }) == 0);
    CHECK(table.open(10, [] { return 7; }) == 7);
  }
  OpenTable table(10, memory.get());
  CHECK(table.open(10, [] { return 8; }) == 7);
  table.release(10, drop);
  CHECK(dropped == 0);
  table.release(10, drop);
  CHECK(dropped == 7);
  table.release(10, drop);  // one too many
  CHECK(table.open(10, [] { return 9; }) == 9);
  table.release(3, drop);
  CHECK(table.open(3, [] { return 5; }) == 0);
  table.release(3, drop);
  table.release(3, drop);
  CHECK(table.open(3, [] { return 5; }) == 5);
}
