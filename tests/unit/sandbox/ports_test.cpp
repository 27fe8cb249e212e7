// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/ports.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>

#include "core/base/error.h"

using namespace coldstart;

TEST_CASE("a port mapping is parsed and written again") {
  CHECK(PortMapping::parse("8080:80") == PortMapping{"", 8080, 80});
  CHECK(PortMapping::parse("127.0.0.1:8080:80") == PortMapping{"127.0.0.1", 8080, 80});
  CHECK(PortMapping::parse("[::1]:0:65535") == PortMapping{"::1", 0, 65535});
  for (const char* text : {"8080:80", "127.0.0.1:8080:80", "[::1]:0:65535"})
    CHECK(PortMapping::parse(text).text() == text);
}

TEST_CASE("what is no port mapping is a usage error") {
  for (const char* text : {"", "80", ":", "80:", ":80", "80:0", "80:65536", "-1:80", "80:80x", "host:80:80",
                           "1.2.3:80:80", "99999999999:80"}) {
    INFO(text);
    try {
      PortMapping::parse(text);
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK(e.exit() == Exit::usage);
    }
  }
}

TEST_CASE("a published port is taken at once, and a taken one is a named error") {
  const PortProxy first({PortMapping{"127.0.0.1", 0, 80}});
  const uint16_t port = first.ports().at(0).host;
  CHECK(port != 0);
  try {
    const PortProxy second({PortMapping{"127.0.0.1", port, 80}});
    FAIL("taken twice");
  } catch (const Error& e) {
    CHECK(e.message().find(std::to_string(port)) != std::string::npos);
  }
}
