// SPDX-License-Identifier: Apache-2.0
// Fault 14: CRIU's own reason is in the message. The lines are what CRIU 4.2 wrote in real failures.
#include "core/checkpoint/criu_log.h"

#include <doctest/doctest.h>

using namespace coldstart;

TEST_CASE("the cause is told, not what followed from it") {
  const Error e =
      criu_error("cannot dump",
                 "Error (criu/tun.c:85): tun: Unable to create tun: No such file or directory\n"
                 "Error (criu/files-ext.c:94): Can't dump file 3 of that type [20600] (chr 10:229)\n"
                 "Error (criu/cr-dump.c:1545): Dump files (pid: 2) failed with -1\n"
                 "Error (criu/cr-dump.c:1975): Dumping FAILED.\n");
  CHECK(e.message() == "cannot dump: descriptor 3 is a chr 10:229, which CRIU cannot dump");
  CHECK_FALSE(e.hint().empty());
}

TEST_CASE("a file that changed is named, and makes the host incompatible") {
  const Error e = criu_error(
      "cannot restore",
      "(00.073) pie: 2: Error (criu/pie/restorer.c:1): something\n"
      "(00.053)      2: Error (criu/files-reg.c:2104): File usr/lib/libx.so has bad size 12 (expect 13)\n");
  CHECK(e.message().find("usr/lib/libx.so") != std::string::npos);
  CHECK(e.exit() == Exit::incompatible);
}

TEST_CASE("a missing capability is exit 6") {
  const Error e =
      criu_error("cannot dump", "Error (criu/cr-dump.c:389): Can't get rlimit 0: Operation not permitted\n");
  CHECK(e.exit() == Exit::missing);
  CHECK(e.message().find("CAP_SYS_RESOURCE") != std::string::npos);
}

TEST_CASE("an unknown error is told in CRIU's words, the first one") {
  const Error e = criu_error("cannot dump",
                             "Warn  (criu/x.c:1): take care\n"
                             "pie: 2: Error (criu/pie/parasite.c:588): no luck (-22)\n"
                             "Error (criu/parasite-syscall.c:280): Can't retrieve FDs from socket\n");
  CHECK(e.message() == "cannot dump: CRIU says: no luck (-22)");
}

TEST_CASE("a CRIU that could not even start is told too") {
  CHECK(criu_error("cannot dump", "criu: error while loading shared libraries: libnl-3.so.200\n").message() ==
        "cannot dump: CRIU says: criu: error while loading shared libraries: libnl-3.so.200");
  CHECK(criu_error("cannot dump", "").message() == "cannot dump: CRIU gives no reason");
  CHECK(criu_error("cannot dump", "one\ntwo\n\n").message() == "cannot dump: CRIU says: two");
}

TEST_CASE("known causes are told in plain words") {
  const std::pair<const char*, const char*> known[] = {
      {"inet: Connected TCP socket, consider using --tcp-established option.",
       "there are open TCP connections"},
      {"unix: External socket is used. Consider using --ext-unix-sk option.",
       "a unix socket is connected to a process outside of the snapshot"},
      {"unix: FATAL: Peer 45758 unresolved for 45759",
       "a unix socket is connected to a process outside of the snapshot"},
      {"Can't lookup mount=21 for fd=3 path=/q",
       "descriptor 3 is /q of a file system that is not mounted inside"},
      {"fsnotify: \tCan't dump that handle", "a file that is watched by inotify cannot be found again"},
      {"Can't dump nested ipc namespace for 43", "a process has a ipc namespace of its own"},
      {"Can't restore sub-task in NS (cflags 40000000)", "a process has a network namespace of its own"},
      {"Unseizable non-zombie 43 found, state S, err -1/10",
       "process 43 (as numbered inside) is traced by another"},
      {"tty: Found slave peer index 0 without correspond master peer", "there is a terminal"},
      {"Can't dump ghost file /tmp/gone of 83886080 size, increase limit",
       "/tmp/gone is deleted but open, and has 83886080 bytes"},
      {"inet: Unsupported proto 262 for socket 21a09", "there is a multipath TCP socket"},
      {"Can't open file tmp/log on restore: No such file or directory",
       "/tmp/log is missing where it is restored"},
      {"Task 2 with SysVIPC shmem map @7fdfc7ddf000 doesn't live in IPC ns",
       "there is System V shared memory, which cannot be told from the host's"},
  };
  for (const auto& [line, says] : known)
    CHECK(criu_error("cannot dump", "Error (criu/x.c:1): " + std::string(line) + "\n").message() ==
          "cannot dump: " + std::string(says));
}
