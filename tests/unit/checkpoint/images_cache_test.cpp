// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/images_cache.h"

#include <chrono>
#include <future>

#include <doctest/doctest.h>

#include "core/base/files.h"

namespace coldstart {
namespace {

namespace fs = std::filesystem;

struct Cached {
  fs::path folder(const std::string& name) {
    fs::create_directories(dir.path() / name);
    write_file_atomic(dir.path() / name / "core-1.img", as_bytes("image"));
    return dir.path() / name;
  }
  /// adopt() of a folder; false if it waits for ever, which `in_use` then ends.
  bool adopts(const fs::path& from, std::optional<ImagesFolder>& in_use) {
    auto adopting = std::async(std::launch::async, [&] { cache.adopt(from, tree); });
    const bool done = adopting.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
    in_use.reset();
    adopting.get();
    return done;
  }

  TempDir dir;
  ImagesCache cache{dir.path() / "store"};
  const Digest tree = Digest::of(as_bytes("tree"));
};

TEST_CASE("images cache: whoever comes later with the same folder does not wait for its users") {
  Cached c;
  c.cache.adopt(c.folder("one"), c.tree);
  auto in_use = c.cache.find(c.tree);
  REQUIRE(in_use);
  CHECK(c.adopts(c.folder("two"), in_use));
  CHECK(c.cache.find(c.tree));
}

TEST_CASE("images cache: an entry that someone wrote to is not given, and replaced even while it is in use") {
  Cached c;
  c.cache.adopt(c.folder("one"), c.tree);
  auto in_use = c.cache.find(c.tree);
  REQUIRE(in_use);
  const fs::path file = in_use->path() / "core-1.img";
  write_file_atomic(file, as_bytes("other"));
  CHECK_FALSE(c.cache.find(c.tree));
  CHECK(c.adopts(c.folder("two"), in_use));
  const auto again = c.cache.find(c.tree);
  REQUIRE(again);
  CHECK(read_text(again->path() / "core-1.img") == "image");
}

}  // namespace
}  // namespace coldstart
