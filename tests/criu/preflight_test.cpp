// SPDX-License-Identifier: Apache-2.0
// What CRIU cannot dump is named before anything is frozen, and nothing else is refused.

#include "core/checkpoint/preflight.h"

#include <fstream>

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "server.h"

using namespace coldstart;

namespace {

struct Case {
  const char* program;
  const char* says;  ///< what the refusal has
};

// Each ends with a line of output and then waits.
constexpr Case refused[] = {
    {"import ctypes\n"
     "l = ctypes.CDLL(None)\n"
     "assert l.syscall(425, 8, ctypes.create_string_buffer(200)) >= 0\n",  // io_uring_setup
     "has io_uring open (descriptor 3)"},
    {"import ctypes\n"
     "assert ctypes.CDLL(None).syscall(323, 0) >= 0\n",  // userfaultfd
     "has userfaultfd open"},
    {"import os, stat\n"
     "os.mknod('/tmp/fuse', stat.S_IFCHR | 0o600, os.makedev(10, 229))\n"
     "f = os.open('/tmp/fuse', os.O_RDWR)\n",
     "has the device /tmp/fuse open"},
    {"import ctypes\n"
     "assert ctypes.CDLL(None).mq_open(b'/queue', 0o102, 0o600, None) >= 0\n",
     "has /queue of a file system that is not mounted where it runs open"},
    {"import socket\n"
     "s = socket.create_server(('127.0.0.1', 9000))\n"
     "c = socket.create_connection(('127.0.0.1', 9000))\n"
     "d, _ = s.accept()\n",
     "has 2 open TCP connections"},
    {"import os, socket, time\n"
     "a, b = socket.socketpair()\n"
     "if os.fork() == 0:\n"
     "    os.setsid()\n"
     "    if os.fork() == 0:\n"
     "        a.close()\n"
     "        time.sleep(1000)\n"
     "    os._exit(0)\n"
     "os.wait()\n"
     "b.close()\n",
     "has a unix socket to a process that is not in the tree"},
    {"import socket\n"
     "s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)\n",
     "has a vsock socket"},
    {"import socket\n"
     "s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)\n",
     "has a multipath TCP socket"},
    {"import ctypes\n"
     "l = ctypes.CDLL(None)\n"
     "l.shmat.restype = ctypes.c_void_p\n"
     "i = l.shmget(0, 4096, 0o1600)\n"
     "a = l.shmat(i, None, 0)\n"
     "l.shmctl(i, 0, None)\n",
     "uses System V shared memory"},
    {"import ctypes, os, time\n"
     "if os.fork() == 0:\n"
     "    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n"
     "    time.sleep(1000)\n"
     "time.sleep(0.1)\n",
     "is traced by process"},
    {"import ctypes, os, time\n"
     "if os.fork() == 0:\n"
     "    ctypes.CDLL(None).unshare(0x08000000)\n"
     "    time.sleep(1000)\n"
     "time.sleep(0.1)\n",
     "is in a ipc namespace of its own"},
    {"import ctypes, os, time\n"
     "if os.fork() == 0:\n"
     "    ctypes.CDLL(None).unshare(0x00020000)\n"
     "    time.sleep(1000)\n"
     "time.sleep(0.1)\n",
     "is in a mnt namespace of its own"},
    {"import os\n"
     "p = os.pidfd_open(1)\n",
     "which is not in the tree"},
    {"import os, time\n"
     "m, s = os.openpty()\n"
     "if os.fork() == 0:\n"
     "    os.setsid()\n"
     "    if os.fork() == 0: time.sleep(1000)\n"
     "    os._exit(0)\n"
     "os.wait()\n"
     "os.close(m)\n",
     "has the terminal /dev/pts/0 open"},
};

/// All that a server may well have, and that comes back.
constexpr const char* allowed =
    "import ctypes, fcntl, mmap, os, select, socket, threading, time\n"
    "e = os.eventfd(3); p = select.epoll(); p.register(e)\n"
    "m = os.memfd_create('m'); t = ctypes.CDLL(None).timerfd_create(1, 0); d = os.pidfd_open(os.getpid())\n"
    "u = socket.create_server(('127.0.0.1', 9000)); v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "a, b = socket.socketpair(); r, w = os.pipe()\n"
    "g = open('/dev/urandom', 'rb'); z = open('/etc/passwd'); s = open('/proc/self/status')\n"
    "k = open('/etc/group'); fcntl.flock(k, fcntl.LOCK_EX)\n"
    "x = open('/tmp/gone', 'wb+'); x.truncate(1 << 20); n = mmap.mmap(x.fileno(), 1 << 20); "
    "os.unlink('/tmp/gone')\n"
    "h = mmap.mmap(-1, 1 << 20)\n"
    "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    "if os.fork() == 0: time.sleep(1000)\n"
    "if os.fork() == 0: os._exit(0)\n";

constexpr const char* then_wait =
    "import time\n"
    "print('ready', flush=True)\n"
    "time.sleep(1000)\n";

std::string refusal_of(const Preflight& found, const DumpOptions& options) {
  try {
    require_dumpable(found, options);
    return {};
  } catch (const Error& e) {
    return e.message();
  }
}

bool criu_refuses(Snapshot& snapshot, Server& server) {
  try {
    snapshot.dump(server);
    Server again;
    snapshot.restore(again);
    return false;
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

TEST_CASE("what is refused, CRIU would refuse too, at the latest at the restore, and it is named") {
  for (const Case& c : refused) {
    CAPTURE(std::string(c.program));
    Server server;
    server.start_python(std::string(c.program) + then_wait);
    Snapshot snapshot;
    const std::string refusal = refusal_of(inspect_tree(server.process.pid()), snapshot.dump_options);
    CAPTURE(refusal);
    CHECK(refusal.find(c.says) != std::string::npos);
    CHECK(refusal.find("python") != std::string::npos);
    CHECK(criu_refuses(snapshot, server));
  }
}

TEST_CASE("what an ordinary server has is not refused, and comes back") {
  Server server;
  server.start_python(std::string(allowed) + then_wait);
  Snapshot snapshot;
  const Preflight found = inspect_tree(server.process.pid());
  CHECK(found.processes.size() == 3);
  CHECK(refusal_of(found, snapshot.dump_options) == "");
  CHECK_FALSE(criu_refuses(snapshot, server));
}

TEST_CASE("another user's server is refused just where CRIU lacks the capability for it") {
  Server server;
  server.start_python(std::string("import os\nos.setgid(1000); os.setuid(1000)\n") + then_wait);
  Snapshot snapshot;
  const std::string refusal = refusal_of(inspect_tree(server.process.pid()), snapshot.dump_options);
  CHECK((refusal.find("runs as another user") != std::string::npos) == criu_refuses(snapshot, server));
}

TEST_CASE("connections within the tree come back, or come back closed, as chosen") {
  Server server;
  server.start_python(
      "import os, socket, time\n"
      "s = socket.create_server(('127.0.0.1', 9000))\n"
      "c = socket.create_connection(('127.0.0.1', 9000))\n"
      "d, _ = s.accept()\n"
      "print('ready', flush=True)\n"
      "while not os.path.exists('/tmp/go'): time.sleep(0.01)\n"
      "try:\n"
      "    d.sendall(b'still here')\n"
      "    print(c.recv(100).decode() or 'closed', flush=True)\n"
      "except OSError:\n"
      "    print('closed', flush=True)\n");
  const Preflight found = inspect_tree(server.process.pid());
  CHECK(found.connections_inside == 2);
  CHECK(found.connections_outside == 0);

  Snapshot snapshot;
  std::string expected;
  SUBCASE("kept") {
    snapshot.dump_options.tcp_established = snapshot.restore_options.tcp_established = true;
    expected = "still here";
  }
  SUBCASE("closed") {
    snapshot.dump_options.tcp_close = snapshot.restore_options.tcp_close = true;
    expected = "closed";
  }
  CHECK(refusal_of(found, snapshot.dump_options) == "");
  snapshot.dump(server);
  Server again;
  std::ofstream(again.box.inside("/tmp/go"));
  snapshot.restore(again);
  CHECK(again.read_line() == expected);
}
