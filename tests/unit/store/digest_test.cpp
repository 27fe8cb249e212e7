// SPDX-License-Identifier: Apache-2.0
#include "core/store/digest.h"

#include <doctest/doctest.h>

using namespace coldstart;

TEST_CASE("digests are SHA-256") {
  CHECK(Digest::of(as_bytes("abc")).hex() ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(Digest::of({}).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("bytes in pieces have the digest of the whole") {
  Hasher hasher;
  hasher.update(as_bytes("a"));
  hasher.update(as_bytes("bc"));
  CHECK(hasher.finish() == Digest::of(as_bytes("abc")));
}

TEST_CASE("a digest's text is parsed back, and nothing else is") {
  const Digest digest = Digest::of(as_bytes("abc"));
  CHECK(Digest::parse(digest.text()) == digest);
  CHECK(Digest::parse(digest.hex()) == digest);
  CHECK_FALSE(Digest::parse(""));
  CHECK_FALSE(Digest::parse("sha256:"));
  CHECK_FALSE(Digest::parse(digest.hex().substr(1)));
  CHECK_FALSE(Digest::parse(digest.hex() + "0"));
  CHECK_FALSE(Digest::parse("sha512:" + digest.hex()));
  std::string upper = digest.hex();
  upper[0] = 'B';
  CHECK_FALSE(Digest::parse(upper));
}
