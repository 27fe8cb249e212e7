// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/greeting.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "core/base/error.h"

using namespace coldstart;

namespace {

template <class Body>
Bytes message(const auto& header, const Body& body) {
  Bytes bytes(sizeof header + sizeof body);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &body, sizeof body);
  return bytes;
}

Bytes init_request(uint64_t unique, uint64_t flags) {
  fuse_in_header header{};
  header.opcode = FUSE_INIT;
  header.unique = unique;
  fuse_init_in init{};
  init.flags = static_cast<uint32_t>(flags) | FUSE_INIT_EXT;
  init.flags2 = static_cast<uint32_t>(flags >> 32);
  return message(header, init);
}

Bytes init_reply(uint64_t unique, uint64_t flags) {
  fuse_out_header header{};
  header.unique = unique;
  fuse_init_out init{};
  init.flags = static_cast<uint32_t>(flags) | FUSE_INIT_EXT;
  init.flags2 = static_cast<uint32_t>(flags >> 32);
  return message(header, init);
}

void pass(GreetingHook& hook, const Bytes& request, Bytes reply) {
  hook.on_request(request);
  const iovec pieces[] = {{reply.data(), 16}, {reply.data() + 16, reply.size() - 16}};
  hook.on_reply(pieces);
}

}  // namespace

TEST_CASE("the first greeting is kept as it passed by, and no other answer") {
  const Fd state = make_server_state();
  CHECK(!read_greeting(state.get()));
  GreetingHook hook(state.get());
  hook.on_request(init_request(5, uint64_t{1} << 39));
  Bytes other = init_reply(4, 0);
  const iovec pieces[] = {{other.data(), other.size()}};
  hook.on_reply(pieces);
  CHECK(!read_greeting(state.get()));
  pass(hook, init_request(6, uint64_t{1} << 39), init_reply(6, uint64_t{3} << 37));
  pass(hook, init_request(7, 0), init_reply(7, 0));
  const auto kept = read_greeting(state.get());
  REQUIRE(kept);
  CHECK(kept->request == init_request(6, uint64_t{1} << 39));
  CHECK(kept->reply == init_reply(6, uint64_t{3} << 37));
  CHECK(kept->can_resend());
  CHECK(kept->agreed_flags() == (uint64_t{3} << 37 | FUSE_INIT_EXT));
  CHECK(!hook.seen().can_resend());
}

TEST_CASE("a greeting that is cut short says nothing; a state that is none is corrupt") {
  CHECK(!Greeting{}.can_resend());
  CHECK(Greeting{Bytes(50), Bytes(20)}.agreed_flags() == 0);
  const Fd state = make_server_state();
  pwrite_full(state.get(), as_bytes(std::string_view("csgreet1\xff\xff\xff\xff\x01\x00\x00\x00", 16)), 0);
  CHECK_THROWS_AS(read_greeting(state.get()), Error);
  pwrite_full(state.get(), as_bytes("something"), 0);  // over the same sizes
  CHECK_THROWS_AS(read_greeting(state.get()), Error);
}
