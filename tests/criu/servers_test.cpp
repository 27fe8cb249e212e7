// SPDX-License-Identifier: Apache-2.0
// Servers dumped from inside their namespaces and restored, as often as wanted and at once, into fresh ones.

#include <csignal>
#include <cstdlib>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "box.h"
#include "core/base/json.h"
#include "core/checkpoint/criu.h"
#include "core/checkpoint/images.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

constexpr int port = 8000;

fs::path rootfs() {
  const char* path = std::getenv("COLDSTART_TEST_ROOTFS");
  return path != nullptr ? path : "/";
}

const CriuProgram& criu() {
  static const CriuProgram program = CriuProgram::find();
  return program;
}

/// A server in a box, with pipes as its output.
struct Server {
  Box box{rootfs()};
  Pipe out = make_pipe();
  Child process;

  void start(const std::vector<std::string>& argv) {
    const Fd null = open_file("/dev/null", O_RDONLY);
    ProgramSpec spec;
    spec.argv = argv;
    spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "UV_USE_IO_URING=0"};
    spec.fds = {{null.get(), 0}, {out.write.get(), 1}, {out.write.get(), 2}};
    process = box.start(spec);
    out.write.reset();
  }
  /// Copies a server of tests/e2e/servers inside.
  std::string with(const std::string& name) const {
    const fs::path there = "/tmp/" + name;
    fs::copy_file(fs::path(COLDSTART_SOURCE_DIR) / "tests/e2e/servers" / name, box.inside(there));
    return there;
  }
  StartInside starter() const {
    return [this](const ProgramSpec& spec) { return box.start(spec); };
  }
};

std::string link_of(pid_t pid, int fd) {
  return fs::read_symlink("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd)).string();
}

/// What a dump leaves: its images, and the name of the pipe that was its output.
struct Snapshot {
  TempDir folder{"/var/tmp", "coldstart-criu-"};
  std::string output;

  explicit Snapshot(Server& server, const CriuNotify& notify = {}) {
    output = link_of(server.process.pid(), 1);
    DumpOptions options;
    fs::create_directory(images());
    options.images = images();
    options.work = folder.path();
    options.log = folder.path() / "dump.log";
    options.pid = Box::pid_inside(server.process.pid());
    CancelToken cancel;
    criu_dump(criu(), options, server.starter(), notify, cancel);
  }
  fs::path images() const { return folder.path() / "images"; }

  void restore(Server& into, const CriuNotify& notify = {}) const {
    RestoreOptions options;
    options.images = images();
    options.work = folder.path();
    options.log = folder.path() / "restore.log";
    options.inherit = {{output, into.out.write.get()}};
    CancelToken cancel;
    into.process = criu_restore(criu(), options, into.starter(), notify, cancel);
    into.out.write.reset();
  }
};

}  // namespace

TEST_CASE("a threaded server comes back twice at once, each with its state and its own life") {
  Server first;
  first.start({"python3", first.with("threads.py"), std::to_string(port), "20"});
  const Json before = parse_json(first.box.ask_until_ready(port, "/add/5"), "answer");
  const Snapshot snapshot(first);
  CHECK(first.process.wait().signal == SIGKILL);
  CHECK(summarize_images(snapshot.images()).memory_bytes() > (size_t{20} << 20));
  CHECK_FALSE(fs::exists(snapshot.folder.path() / "dump.log"));

  Server a, b;
  a.with("threads.py");
  b.with("threads.py");
  snapshot.restore(a);
  snapshot.restore(b);
  const Json one = parse_json(a.box.ask(port, "/add/2"), "answer");
  const Json two = parse_json(b.box.ask(port, "/add/3"), "answer");
  CHECK(one["counter"] == 7);
  CHECK(two["counter"] == 8);
  CHECK(one["digest"] == before["digest"]);
  CHECK(two["digest"] == before["digest"]);
  CHECK(Box::pid_inside(a.process.pid()) == Box::pid_inside(b.process.pid()));
}
