// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/host_facts.h"

#include <functional>

#include <doctest/doctest.h>

using namespace coldstart;

namespace {

std::string refusal(const std::function<void(HostFacts&)>& change) {
  const HostFacts there{"x86_64", "6.18.4-a", "4.2", {"avx2", "fma"}};
  HostFacts here = there;
  change(here);
  try {
    require_compatible(there, here);
    return "";
  } catch (const Error& e) {
    CHECK(e.exit() == Exit::incompatible);
    return e.message();
  }
}

}  // namespace

TEST_CASE("versions compare by number, not by text") {
  CHECK(compare_versions("4.10", "4.9") == 1);
  CHECK(compare_versions("6.18.44-fc", "6.18.44-other") == 0);
  CHECK(compare_versions("4.2", "4.2.1") == -1);
}

TEST_CASE("the same host, a newer kernel and a newer CRIU fit") {
  CHECK(refusal([](HostFacts&) {}).empty());
  CHECK(refusal([](HostFacts& h) { h.kernel = "7.0.1"; }).empty());
  CHECK(refusal([](HostFacts& h) { h.kernel = "6.18.1"; }).empty());
  CHECK(refusal([](HostFacts& h) { h.criu = "4.10"; }).empty());
  CHECK(refusal([](HostFacts& h) { h.cpu_features.insert("avx512f"); }).empty());
}

TEST_CASE("what does not fit is named") {
  CHECK(refusal([](HostFacts& h) { h.cpu_features.erase("avx2"); }).find("avx2") != std::string::npos);
  CHECK(refusal([](HostFacts& h) { h.kernel = "6.9.0"; }).find("6.9.0") != std::string::npos);
  CHECK(refusal([](HostFacts& h) { h.criu = "4.1"; }).find("CRIU 4.1") != std::string::npos);
  CHECK(refusal([](HostFacts& h) { h.arch = "aarch64"; }).find("aarch64") != std::string::npos);
}

TEST_CASE("host facts survive their JSON form") {
  const HostFacts a = HostFacts::here("4.2");
  const HostFacts b = HostFacts::from_json(a.to_json(), "test");
  CHECK(a.kernel == b.kernel);
  CHECK(a.cpu_features == b.cpu_features);
}
