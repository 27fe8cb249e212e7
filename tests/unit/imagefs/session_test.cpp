// SPDX-License-Identifier: Apache-2.0
// The kernel's side is played by the other end of a socket pair.
#include "core/imagefs/session.h"

#include <cerrno>
#include <optional>

#include <doctest/doctest.h>
#include <sys/socket.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/imagefs/passthrough.h"

using namespace coldstart;

namespace {

constexpr uint64_t passthrough_bit = uint64_t{1} << 37;

struct Greeting {
  fuse_in_header header;
  fuse_init_in init;
};

Greeting greeting(uint64_t unique, uint64_t flags) {
  Greeting g{};
  g.header = {.len = sizeof g, .opcode = FUSE_INIT, .unique = unique};
  g.init = {.major = 7, .minor = 41, .max_readahead = 1 << 17};
  g.init.flags = static_cast<uint32_t>(flags) | FUSE_INIT_EXT | FUSE_ASYNC_READ;
  g.init.flags2 = static_cast<uint32_t>(flags >> 32);
  return g;
}

struct OpenRequest {
  fuse_in_header header;
  fuse_open_in open;
};

/// A session whose every open is passed through to the backing file 7.
struct Box {
  explicit Box(bool wanted = true) : passthrough(-1, wanted) {
    int ends[2];
    check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), "socketpair");
    kernel = Fd(ends[0]);
    server = Fd(ends[1]);
    fuse_lowlevel_ops operations{};
    operations.init = [](void* from, fuse_conn_info*) { ++*static_cast<int*>(FuseSession::user_data(from)); };
    operations.open = [](fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
      info->keep_cache = 1;
      if (inode == 2)
        Passthrough::reply_open(request, *info, 7);
      else
        fuse_reply_open(request, info);
    };
    session.emplace(server.get(), operations, &inits, std::vector<SessionHook*>{&passthrough});
  }
  template <class Request>
  void ask(const Request& request) {
    write_full(kernel.get(), bytes_of(request));
    RequestBuffer buffer;
    REQUIRE(session->serve_one(buffer));
  }
  /// Empty if there is none.
  Bytes answer() const {
    Bytes bytes(4096);
    const ssize_t n = ::recv(kernel.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return bytes;
  }

  int inits = 0;
  Fd kernel, server;
  Passthrough passthrough;
  std::optional<FuseSession> session;
};

fuse_init_out init_answer(const Bytes& bytes) {
  REQUIRE(bytes.size() >= sizeof(fuse_out_header) + sizeof(fuse_init_out));
  return load<fuse_init_out>(bytes.data() + sizeof(fuse_out_header));
}

}  // namespace

TEST_CASE("passthrough is agreed where the kernel offers it") {
  Box box;
  box.ask(greeting(11, passthrough_bit));
  const fuse_init_out out = init_answer(box.answer());
  CHECK(out.minor >= 40);
  CHECK((out.flags & FUSE_INIT_EXT) != 0);
  CHECK((out.flags2 & (passthrough_bit >> 32)) != 0);
  CHECK(out.unused[0] == 1);
  CHECK(box.passthrough.agreed());

  box.ask(OpenRequest{{.len = sizeof(OpenRequest), .opcode = FUSE_OPEN, .unique = 12, .nodeid = 2}, {}});
  Bytes bytes = box.answer();
  REQUIRE(bytes.size() == sizeof(fuse_out_header) + sizeof(fuse_open_out));
  auto open = load<fuse_open_out>(bytes.data() + sizeof(fuse_out_header));
  CHECK((open.open_flags & (1U << 7)) != 0);
  CHECK((open.open_flags & FOPEN_KEEP_CACHE) == 0);
  CHECK(open.padding == 7);

  box.ask(OpenRequest{{.len = sizeof(OpenRequest), .opcode = FUSE_OPEN, .unique = 13, .nodeid = 3}, {}});
  bytes = box.answer();
  open = load<fuse_open_out>(bytes.data() + sizeof(fuse_out_header));
  CHECK((open.open_flags & (1U << 7)) == 0);
  CHECK((open.open_flags & FOPEN_KEEP_CACHE) != 0);
  CHECK(open.padding == 0);
}

TEST_CASE("passthrough is left alone where the kernel does not offer it, or nobody wants it") {
  for (const bool wanted : {true, false}) {
    Box box(wanted);
    box.ask(greeting(11, wanted ? 0 : passthrough_bit));
    const fuse_init_out out = init_answer(box.answer());
    CHECK((out.flags2 & (passthrough_bit >> 32)) == 0);
    CHECK(out.unused[0] == 0);
    CHECK_FALSE(box.passthrough.agreed());
  }
}

TEST_CASE("a greeting that is fed makes the session ready, and the kernel hears nothing") {
  Box box;
  const Greeting remembered = greeting(11, passthrough_bit);
  box.session->feed(bytes_of(remembered));
  CHECK(box.inits == 1);
  CHECK(box.answer().empty());
  CHECK(box.passthrough.agreed());
  box.ask(OpenRequest{{.len = sizeof(OpenRequest), .opcode = FUSE_OPEN, .unique = 12, .nodeid = 2}, {}});
  CHECK(box.answer().size() == sizeof(fuse_out_header) + sizeof(fuse_open_out));
}
