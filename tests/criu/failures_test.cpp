// SPDX-License-Identifier: Apache-2.0
// Fault 14: a dump that fails lets its target run on, a restore that fails leaves nothing; both say why and
// keep CRIU's log.

#include <chrono>
#include <csignal>
#include <fstream>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/checkpoint/images.h"
#include "server.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

/// A shell that writes a line now and then: enough to see whether it runs.
void start_ticker(Server& server) {
  server.start({"sh", "-c", "while sleep 0.02; do echo tick; done"});
  server.read_line();
}

/// Is there a child of ours that has ended and that nobody has waited for?
bool has_zombie() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

template <class F>
Error error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  FAIL("nothing was thrown");
  return Error("");
}

}  // namespace

TEST_CASE("a callback that fails during the dump: the server runs on") {
  for (const char* station : {"pre-dump", "post-dump"}) {
    Server server;
    start_ticker(server);
    Snapshot snapshot;
    const Error e = error_of([&] {
      snapshot.dump(server, [&](std::string_view at) {
        if (at == station) throw Error("no room");
      });
    });
    CHECK(e.message() == "no room");
    CHECK(server.read_line() == "tick");
    CHECK_FALSE(server.process.wait_for(std::chrono::milliseconds(0)));
  }
}

TEST_CASE("cancelling during the dump: the server runs on") {
  Server server;
  start_ticker(server);
  Snapshot snapshot;
  snapshot.cancel.cancel(SIGINT);
  CHECK(error_of([&] { snapshot.dump(server); }).exit() == Exit::interrupted);
  CHECK(server.read_line() == "tick");
}

TEST_CASE("a dump that CRIU refuses: the server runs on, the error says why, the log is kept") {
  Server server;
  server.start_python(
      "import socket, time\n"
      "s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)\n"
      "while True: print('tick', flush=True); time.sleep(0.02)\n");
  Snapshot snapshot;
  const Error e = error_of([&] { snapshot.dump(server); });
  CHECK(e.message().find("family 40") != std::string::npos);
  CHECK(e.hint().find("dump.log") != std::string::npos);
  CHECK(fs::file_size(snapshot.folder.path() / "dump.log") > 0);
  CHECK(server.read_line() == "tick");
}

TEST_CASE("dumping a process that is not there is an error") {
  Server server;
  start_ticker(server);
  Snapshot snapshot;
  snapshot.dump_options.pid = 31000;
  CancelToken cancel;
  const Error e =
      error_of([&] { criu_dump(the_criu(), snapshot.dump_options, server.starter(), {}, cancel); });
  CHECK(e.message().starts_with("cannot dump: "));
}

TEST_CASE("a restore that fails leaves no process") {
  Server server;
  start_ticker(server);
  Snapshot snapshot;
  snapshot.dump(server);
  server.process.wait();

  SUBCASE("because a callback did, at any station") {
    for (const char* station : {"pre-restore", "post-restore", "pre-resume", "post-resume"}) {
      CAPTURE(station);
      Server again;
      bool reached = false;
      const Error e = error_of([&] {
        snapshot.restore(again, [&](std::string_view at) {
          if (at != station) return;
          reached = true;
          throw Error("no room");
        });
      });
      CHECK(e.message() == "no room");
      CHECK(reached);
      again.out.write.reset();
      // Nobody holds the pipe any more: at "post-resume" a line may have come, then the end.
      while (!again.read_line().empty()) {
      }
    }
  }
  SUBCASE("because a callback did whose reason ended CRIU as well") {
    Server again;
    CriuRestore restore(the_criu(), snapshot.restore_options, again.starter());
    CancelToken cancel;
    const Error e = error_of([&] {
      restore.restore(
          [&](std::string_view at) {
            if (at != "pre-resume") return;
            ::kill(again.box.init_pid(), SIGKILL);
            pollfd p{restore.pidfd(), POLLIN, 0};
            ::poll(&p, 1, 10000);
            throw Error("its memory is gone");
          },
          cancel);
    });
    CHECK(e.message() == "its memory is gone");
  }
  SUBCASE("because CRIU was killed") {
    Server again;
    const Error e = error_of([&] {
      snapshot.restore(again, [&](std::string_view at) {
        if (at == "pre-restore") ::kill(again.box.init_pid(), SIGKILL);
      });
    });
    CHECK(e.message() == "CRIU was killed by signal 9");
    CHECK(e.hint().find("restore.log") != std::string::npos);
  }
  SUBCASE("because it was cancelled, before it or at any station") {
    for (const char* station : {"", "pre-restore", "post-restore", "pre-resume"}) {
      CAPTURE(station);
      Server again;
      CancelToken cancel;
      if (*station == '\0') cancel.cancel(SIGTERM);
      const auto notify = [&](std::string_view at) {
        if (at == station) cancel.cancel(SIGTERM);
      };
      const Error e = error_of(
          [&] { criu_restore(the_criu(), snapshot.restore_options, again.starter(), notify, cancel); });
      CHECK(e.exit() == Exit::terminated);
    }
  }
  SUBCASE("because an image is truncated") {
    Server again;
    fs::resize_file(snapshot.images() / "files.img", fs::file_size(snapshot.images() / "files.img") - 5);
    const Error e = error_of([&] { snapshot.restore(again); });
    CHECK(e.message().starts_with("cannot restore: "));
    CHECK(e.hint().find("restore.log") != std::string::npos);
  }
  SUBCASE("because an image is missing") {
    Server again;
    fs::remove(snapshot.images() / "pstree.img");
    CHECK(error_of([&] { snapshot.restore(again); }).message().find("pstree.img") != std::string::npos);
  }
  SUBCASE("because the pid is taken") {
    Server again;
    start_ticker(again);  // it gets the same pid
    Pipe out = make_pipe();
    std::swap(out, again.out);
    const Error e = error_of([&] {
      Server holder;
      std::swap(holder.process, again.process);
      snapshot.restore(again);
    });
    CHECK(e.message().find("taken") != std::string::npos);
  }
  CHECK_FALSE(has_zombie());
}

TEST_CASE("a file that is another than at the dump is named, and nothing is left") {
  Server server;
  fs::copy_file(server.box.inside("/bin/sleep"), server.box.inside("/tmp/sleep"));
  server.start({"/tmp/sleep", "1000"});
  Snapshot snapshot;
  snapshot.dump(server);
  server.process.wait();
  Server again;
  fs::copy_file(again.box.inside("/bin/sleep"), again.box.inside("/tmp/sleep"));
  std::ofstream(again.box.inside("/tmp/sleep"), std::ios::app) << "another";
  const Error e = error_of([&] { snapshot.restore(again); });
  CHECK(e.message().find("tmp/sleep") != std::string::npos);
  CHECK(e.exit() == Exit::incompatible);
}
