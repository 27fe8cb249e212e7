// SPDX-License-Identifier: Apache-2.0
#include <atomic>

#include <doctest/doctest.h>
#include <fcntl.h>

#include "core/base/cancel.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/subprocess.h"
#include "core/base/workers.h"

using namespace coldstart;

TEST_CASE("an error keeps hint and exit status when context is added") {
  const Error e = Error::missing("no criu", "install it").in("cannot snapshot");
  CHECK(e.message() == "cannot snapshot: no criu");
  CHECK(e.hint() == "install it");
  CHECK(e.exit() == Exit::missing);
}

TEST_CASE("write_file_atomic replaces a file and leaves nothing beside it") {
  const TempDir dir;
  write_file_atomic(dir.path() / "a", as_bytes("one"));
  write_file_atomic(dir.path() / "a", as_bytes("two"));
  CHECK(read_text(dir.path() / "a") == "two");
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
  CHECK_THROWS_AS(write_file_atomic(dir.path() / "no" / "a", as_bytes("x")), Error);
}

TEST_CASE("a lock held by one is not had by another") {
  const TempDir dir;
  const auto held = FileLock::try_lock(dir.path() / "lock", FileLock::Mode::exclusive);
  REQUIRE(held);
  CHECK_FALSE(FileLock::try_lock(dir.path() / "lock", FileLock::Mode::shared));
}

TEST_CASE("workers run every job, and the first failure comes out of wait") {
  std::atomic<int> done = 0;
  Workers workers(3, 4);
  for (int i = 0; i < 100; ++i) workers.submit([&] { ++done; });
  workers.wait();
  CHECK(done == 100);
  workers.submit([] { throw Error("broken"); });
  CHECK_THROWS_WITH(workers.wait(), "broken");
}

TEST_CASE("run_program takes both streams and the exit status") {
  const Output o = run_program({"sh", "-c", "echo out; echo err >&2; exit 3"});
  CHECK(o.out == "out\n");
  CHECK(o.err == "err\n");
  CHECK(o.exit.code == 3);
}

TEST_CASE("a program that is not there is an error with exit status 6") {
  try {
    run_program({"/no/such/program"});
    FAIL("no error");
  } catch (const Error& e) {
    CHECK(e.exit() == Exit::missing);
  }
}

TEST_CASE("a program that hangs is killed at its deadline") {
  CHECK_THROWS_AS(run_program({"sleep", "60"}, std::chrono::milliseconds(50)), Error);
}

TEST_CASE("a child gets the descriptors it is given and no other") {
  const Fd leaked(::open("/dev/null", O_RDONLY));  // no O_CLOEXEC
  const Output o = run_program({"sh", "-c", "ls /proc/self/fd | wc -l"});
  CHECK(std::stoi(o.out) == 4);  // 0, 1, 2 and ls's own of the folder
}

TEST_CASE("a cancelled token throws with the signal's exit status") {
  CancelToken token;
  token.check();
  token.cancel(15);
  try {
    token.check();
    FAIL("no error");
  } catch (const Error& e) {
    CHECK(e.exit() == Exit::terminated);
  }
}
