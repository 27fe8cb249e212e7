// SPDX-License-Identifier: Apache-2.0
#include "core/base/unix_socket.h"

#include <array>
#include <string>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "core/base/error.h"
#include "core/base/fd_passing.h"
#include "core/base/files.h"

namespace coldstart {
namespace {

std::string content(const Fd& fd) {
  Bytes bytes(100);
  bytes.resize(pread_full(fd.get(), bytes, 0));
  return std::string(as_text(bytes));
}

Fd file_with(const std::filesystem::path& path, const std::string& text) {
  Fd fd = open_file(path, O_RDWR | O_CREAT);
  write_full(fd.get(), as_bytes(text));
  return fd;
}

TEST_CASE("unix socket: by a path of any length; nobody there is no error") {
  const TempDir dir;
  const std::filesystem::path folder = dir.path() / std::string(200, 'x');
  make_folders(folder);
  const auto file = folder / "a.socket";
  CHECK(!connect_to(file, SOCK_SEQPACKET));
  CHECK(!connect_to(dir.path() / "no/folder", SOCK_SEQPACKET));
  {
    const Fd listener = listen_on(file, SOCK_SEQPACKET);
    CHECK(connect_to(file, SOCK_SEQPACKET));
    CHECK_THROWS_AS(connect_to(file, SOCK_STREAM), Error);
  }
  CHECK(!connect_to(file, SOCK_SEQPACKET));  // its name is still there
  const Fd listener = listen_on(file, SOCK_SEQPACKET);
  CHECK(connect_to(file, SOCK_SEQPACKET));
}

TEST_CASE("descriptors: arrive with their message, in order, and close on exec") {
  const TempDir dir;
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  {
    const Fd one = file_with(dir.path() / "one", "1");
    const Fd two = file_with(dir.path() / "two", "2");
    send_fds(ours.get(), as_bytes("ab"), std::array{one.get(), two.get()});
    send_fds(ours.get(), as_bytes("c"), {});
  }
  std::array<std::byte, 8> into{};
  const Received first = receive_fds(theirs.get(), into);
  CHECK(first.size == 2);
  REQUIRE(first.fds.size() == 2);
  CHECK(content(first.fds[0]) == "1");
  CHECK(content(first.fds[1]) == "2");
  CHECK((::fcntl(first.fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  const Received second = receive_fds(theirs.get(), into);
  CHECK(second.size == 1);
  CHECK(second.fds.empty());
  ours.reset();
  CHECK(receive_fds(theirs.get(), into).size == 0);
  CHECK_THROWS_AS(send_fds(theirs.get(), as_bytes("x"), {}), Error);
}

}  // namespace
}  // namespace coldstart
