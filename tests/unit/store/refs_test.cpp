// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "core/base/error.h"
#include "store_fixture.h"

using namespace coldstart;

namespace {

/// The error that `call` throws.
template <class Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& e) {
    return e;
  }
  FAIL("no error");
  return Error("none");
}

}  // namespace

TEST_CASE("references are parsed, and what is none is refused") {
  CHECK(RefName::parse("llm").text() == "llm:latest");
  CHECK(RefName::parse("team/llm-7b:V1.2_x").text() == "team/llm-7b:V1.2_x");
  for (const char* bad :
       {"",       ":",    "a:", ":b",    "A",    "a b",   "/a",  "a/",   "a//b", "..",
        "a/../b", "a/..", ".a", "a:b:c", "a:.b", "a:b/c", "a%b", "a\nb", "-a",   "../../etc/passwd"})
    CHECK_MESSAGE(error_of([&] { RefName::parse(bad); }).exit() == Exit::usage, bad);
  CHECK_THROWS_AS(RefName::parse(std::string(101, 'a')), Error);
  CHECK_THROWS_AS(RefName::parse(std::string("a\0b", 3)), Error);
}

TEST_CASE_FIXTURE(StoreFixture, "references are set, listed, resolved and removed") {
  const std::vector<Digest> d = put({text(10, 1), text(10, 2)});
  store->set_ref(RefKind::image, RefName::parse("team/llm:v1"), d[0]);
  store->set_ref(RefKind::image, RefName::parse("base"), d[1]);
  store->set_ref(RefKind::snapshot, RefName::parse("base"), d[0]);
  const std::vector<Ref> images = store->refs(RefKind::image);
  REQUIRE(images.size() == 2);
  CHECK(images[0].name.text() == "base:latest");
  CHECK(images[1].name.text() == "team/llm:v1");
  CHECK(images[1].created > 1600000000);

  CHECK(store->resolve(RefKind::image, "team/llm:v1").digest == d[0]);
  CHECK(store->resolve(RefKind::image, "base").digest == d[1]);
  CHECK(store->resolve(RefKind::snapshot, "base").digest == d[0]);
  CHECK(store->resolve(RefKind::image, d[0].text()).name.text() == "team/llm:v1");
  CHECK(store->resolve(RefKind::image, d[0].hex().substr(0, 6)).digest == d[0]);
  CHECK(store->resolve(RefKind::image, d[1].text().substr(0, 12)).digest == d[1]);

  CHECK(store->remove_ref(RefKind::image, RefName::parse("base")));
  CHECK_FALSE(store->remove_ref(RefKind::image, RefName::parse("base")));
  CHECK(error_of([&] { store->resolve(RefKind::image, "base"); }).exit() == Exit::not_found);
  CHECK(error_of([&] { store->resolve(RefKind::image, d[1].text()); }).exit() == Exit::not_found);
}

TEST_CASE_FIXTURE(StoreFixture, "an unknown reference is answered with the nearest") {
  const Digest d = put({text(10, 1)})[0];
  for (const char* name : {"llama:v1", "llama:v2", "mistral"})
    store->set_ref(RefKind::image, RefName::parse(name), d);
  const Error error = error_of([&] { store->resolve(RefKind::image, "lama:v1"); });
  CHECK(error.exit() == Exit::not_found);
  CHECK(error.hint() == "did you mean llama:v1, llama:v2?");
  CHECK(error_of([&] { store->resolve(RefKind::image, "mistrel"); }).hint() ==
        "did you mean mistral:latest?");
  CHECK(error_of([&] { store->resolve(RefKind::image, "zzzzzzzz"); }).hint().find("image ls") !=
        std::string::npos);
}

TEST_CASE_FIXTURE(StoreFixture, "a prefix that fits several digests is refused") {
  // 2000 digests have many pairs that agree in 4 digits.
  std::vector<Bytes> chunks;
  for (unsigned i = 0; i < 2000; ++i) chunks.push_back(to_bytes(std::to_string(i)));
  std::map<std::string, Digest> seen;
  for (const Digest& d : put(chunks)) {
    const auto [it, fresh] = seen.emplace(d.hex().substr(0, 4), d);
    if (fresh) continue;
    store->set_ref(RefKind::image, RefName::parse("one"), it->second);
    store->set_ref(RefKind::image, RefName::parse("two"), d);
    const std::string& prefix = it->first;
    CHECK(error_of([&] { store->resolve(RefKind::image, prefix); }).exit() == Exit::usage);
    CHECK(store->resolve(RefKind::image, d.hex()).digest == d);
    return;
  }
  FAIL("no two digests agree");
}

TEST_CASE_FIXTURE(StoreFixture, "a reference only leads to what is there") {
  CHECK(error_of([&] { store->set_ref(RefKind::image, RefName::parse("x"), Digest{}); }).exit() ==
        Exit::not_found);
}

TEST_CASE_FIXTURE(StoreFixture, "fault 7: a damaged reference is named") {
  const auto file = store->root() / "refs/images/bad:latest";
  for (const char* content : {"", "{", "[]", R"({"digest":"sha256:12","created":1})", R"({"digest":7})"}) {
    write_file_atomic(file, as_bytes(content));
    const Error error = error_of([&] { store->resolve(RefKind::image, "bad"); });
    CHECK(error.exit() == Exit::corrupt);
    CHECK(error.message().find(file.string()) != std::string::npos);
  }
}

TEST_CASE_FIXTURE(StoreFixture, "a store of another format is refused") {
  write_file_atomic(store->root() / "format", as_bytes("coldstart store 2\n"));
  CHECK(error_of([&] { Store::open(store->root()); }).message().find("newer") != std::string::npos);
  write_file_atomic(store->root() / "format", as_bytes("hello"));
  CHECK(error_of([&] { Store::open(store->root()); }).exit() == Exit::corrupt);
}
