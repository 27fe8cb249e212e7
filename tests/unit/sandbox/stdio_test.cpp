// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/stdio.h"

#include <doctest/doctest.h>

#include "core/base/files.h"

using namespace coldstart;

TEST_CASE("a log is moved away when it is full, and one older part is kept") {
  const TempDir folder;
  const auto path = folder.path() / "log";
  LogFile log(path, 10);
  log.write(as_bytes("aaaaaaaa"));
  CHECK(read_text(path) == "aaaaaaaa");
  log.write(as_bytes("bb"));
  CHECK(read_text(path) == "aaaaaaaabb");
  log.write(as_bytes("c"));
  CHECK(read_text(path) == "c");
  CHECK(read_text(path.string() + ".1") == "aaaaaaaabb");
  log.write(as_bytes("a piece larger than the limit"));
  CHECK(read_text(path) == "a piece larger than the limit");
  CHECK(read_text(path.string() + ".1") == "c");
}

TEST_CASE("a pump copies to the log and to the caller, and remembers lines") {
  const TempDir folder;
  Pipe caller = make_pipe();
  std::string tail;
  {
    OutputPump pump(folder.path() / "log", caller.write.get());
    Fd end = pump.take_write_end();
    pump.start();
    write_full(end.get(), as_bytes("one\ntwo\nserver is up on port 80\nthr"));
    uint64_t from = 0;
    const std::regex up("is up on port [0-9]+$");
    while (!pump.matches(up, from)) std::this_thread::yield();
    CHECK_FALSE(pump.matches(up, from));  // each line once
    CHECK(pump.matches(std::regex("^thr$"), from));
    tail = pump.tail(2);
  }
  CHECK(tail == "server is up on port 80\nthr");
  CHECK(read_text(folder.path() / "log") == "one\ntwo\nserver is up on port 80\nthr");
  caller.write.reset();
  Bytes copy(100);
  copy.resize(read_full(caller.read.get(), copy));
  CHECK(as_text(copy) == "one\ntwo\nserver is up on port 80\nthr");
}

TEST_CASE("a pump ends although somebody still holds the pipe") {
  const TempDir folder;
  Fd end;
  {
    OutputPump pump(folder.path() / "log", -1);
    end = pump.take_write_end();
    pump.start();
    write_full(end.get(), as_bytes("said before"));
  }
  CHECK(read_text(folder.path() / "log") == "said before");
}
