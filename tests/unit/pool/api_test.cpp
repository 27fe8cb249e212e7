// SPDX-License-Identifier: Apache-2.0
#include "core/pool/api.h"

#include <doctest/doctest.h>

#include "core/pool/listener.h"

using namespace coldstart;

TEST_CASE("a claim is what was asked for, and nothing else") {
  CHECK(parse_claim("").request.timeout == 30);
  const ApiClaim claim = parse_claim(R"({"timeout": 1.5, "holder": 42, "at_end": "give_back"})");
  CHECK(claim.request.timeout == 1.5);
  CHECK(claim.request.holder == 42);
  CHECK(claim.request.at_end == LeaseEnd::give_back);
  CHECK(!claim.with_connection);
  CHECK(parse_claim(R"({"holder": "connection"})").with_connection);
  for (const char* bad : {"[]", "{", "1", R"({"timeout": -1})", R"({"timeout": 1e9})", R"({"timeout": null})",
                          R"({"holder": 0})", R"({"holder": "me"})", R"({"holder": 1e99})",
                          R"({"at_end": "never"})", R"({"Timeout": 1})"}) {
    INFO(bad);
    CHECK_THROWS_AS(parse_claim(bad), Error);
  }
}

TEST_CASE("a release names its replica") {
  CHECK(parse_release(R"({"id": "abc"})").end == LeaseEnd::end);
  CHECK(parse_release(R"({"id": "abc", "at_end": "give_back"})").end == LeaseEnd::give_back);
  for (const char* bad : {"", "{}", R"({"id": ""})", R"({"id": 7})"})
    CHECK_THROWS_AS(parse_release(bad), Error);
  CHECK(parse_stop(R"({"all": true})"));
  CHECK(!parse_stop(""));
}

TEST_CASE("errors have the status that fits, and are errors again at the other end") {
  const HttpReply reply = to_reply(Error("nothing left", "wait", Exit::empty));
  CHECK(reply.status == 503);
  const Error again = error_from_json(parse_json(reply.body, "reply")["error"], "reply");
  CHECK(again.exit() == Exit::empty);
  CHECK(again.message() == "nothing left");
  CHECK(to_reply(Error::usage("x")).status == 400);
  CHECK(to_reply(Error::not_found("x")).status == 404);
  CHECK(to_reply(Error("x")).status == 500);
}

TEST_CASE("metrics name each family once, with its type") {
  PoolStatus status;
  status.claims = 3;
  status.hits = 2;
  const std::string text = metrics(status).body;
  CHECK(text.find("coldstart_pool_claims_total{result=\"waited\"} 1\n") != std::string::npos);
  CHECK(text.find("# TYPE coldstart_pool_slots gauge\n") != std::string::npos);
  CHECK(text.back() == '\n');
}

TEST_CASE("addresses to listen on") {
  CHECK(ListenAddress::parse("unix:/run/x").path == "/run/x");
  CHECK(ListenAddress::parse("127.0.0.1:70").text() == "127.0.0.1:70");
  CHECK(ListenAddress::parse("[::1]:70").host == "::1");
  CHECK(ListenAddress::parse("[::1]:70").text() == "[::1]:70");
  for (const char* bad : {"", "unix:", "host", "host:", "host:http"})
    CHECK_THROWS_AS(ListenAddress::parse(bad), Error);
  CHECK_THROWS_AS(listen_on({"/" + std::string(200, 'x'), "", ""}, false), Error);
}
