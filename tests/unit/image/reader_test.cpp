// SPDX-License-Identifier: Apache-2.0
#include "core/image/reader.h"

#include <functional>
#include <random>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/blob.h"

using namespace coldstart;

namespace {

/// /, /data (600 bytes: 100 at 0, a hole, 200 at 300, a hole), /dir, /dir/again (hard link to /data),
/// /dir/link.
BlobSections sample() {
  BlobSections s;
  s.total_bytes = 600;
  s.chunks = {{{}, 100, 0}, {{}, 200, 0}};
  s.extents = {{0, 0, 0}, {300, 1, 0}};
  s.xattrs = {{s.add_text("user.a"), s.add_text("value"), 6, 5}};
  s.xattr_refs = {0};
  const auto entry = [&](uint32_t inode, std::string_view name) {
    s.entries.push_back({inode, static_cast<uint32_t>(name.size()), s.add_text(name)});
  };
  entry(2, "data");
  entry(3, "dir");
  entry(2, "again");
  entry(4, "link");
  s.inodes.resize(4);
  s.inodes[0] = {.mode = S_IFDIR | 0755, .links = 3, .first = 0, .count = 2, .parent = 1};
  s.inodes[1] = {.mode = S_IFREG | 0644, .links = 2, .size = 600, .first = 0, .count = 2, .xattr_count = 1};
  s.inodes[2] = {.mode = S_IFDIR | 0755, .links = 2, .first = 2, .count = 2, .parent = 1, .xattrs = 1};
  s.inodes[3] = {.mode = S_IFLNK | 0777, .links = 1, .size = 7, .first = s.add_text("../data"), .xattrs = 1};
  return s;
}

void refused(const char* why, const std::function<void(BlobSections&)>& damage) {
  BlobSections s = sample();
  damage(s);
  try {
    const ImageReader reader(s.assemble());
    FAIL_CHECK("taken, although: " << why);
  } catch (const Error& e) {
    CHECK(e.exit() == Exit::corrupt);
    CHECK_MESSAGE(e.message().find(why) != std::string::npos, e.message());
  }
}

}  // namespace

TEST_CASE("a blob gives back the tree") {
  const ImageReader r(sample().assemble());
  CHECK(r.inode_count() == 4);
  CHECK(r.total_bytes() == 600);
  CHECK(r.entries(r.inode(1)).size() == 2);
  CHECK(r.lookup(r.inode(1), "dir") == 3);
  CHECK(r.lookup(r.inode(1), "di") == 0);
  CHECK(r.find("") == 1);
  CHECK(r.find("/dir//again") == 2);
  CHECK(r.find("dir/none") == 0);
  CHECK(r.find("data/x") == 0);
  CHECK(r.target(r.inode(4)) == "../data");
  CHECK(r.xattr_count(r.inode(2)) == 1);
  CHECK(r.xattr(r.inode(2), 0).value == "value");
  CHECK(r.valid(4));
  CHECK_FALSE(r.valid(0));
  CHECK_FALSE(r.valid(5));
}

TEST_CASE("extents of a range leave out what does not touch it") {
  const ImageReader r(sample().assemble());
  const InodeRecord& file = r.inode(2);
  CHECK(r.extents(file).size() == 2);
  CHECK(r.extents(file, 99, 1).size() == 1);
  CHECK(r.extents(file, 100, 200).empty());
  CHECK(r.extents(file, 99, 202).size() == 2);
  CHECK(r.extents(file, 499, UINT64_MAX).size() == 1);
  CHECK(r.extents(file, 500, UINT64_MAX).empty());
}

TEST_CASE("fault 7: a blob of another version, or of none, is refused") {
  Bytes blob = sample().assemble();
  blob[8] = std::byte{2};
  CHECK_THROWS_WITH(ImageReader(Bytes(blob)),
                    "image metadata: it is of version 2, this program reads version 1");
  blob[0] = std::byte{'x'};
  CHECK_THROWS_WITH(ImageReader(Bytes(blob)), "image metadata: it does not begin as such");
}

TEST_CASE("fault 7: a truncated or longer blob is refused") {
  const Bytes blob = sample().assemble();
  for (size_t n = 0; n < blob.size(); ++n)
    CHECK_THROWS_AS(ImageReader(Bytes(blob.begin(), blob.begin() + static_cast<ptrdiff_t>(n))), Error);
  Bytes longer = blob;
  longer.resize(blob.size() + 1);
  CHECK_THROWS_AS(ImageReader(std::move(longer)), Error);
}

TEST_CASE("fault 7: each wrong record is refused and named") {
  refused("the root is no folder", [](auto& s) { s.inodes[0].mode = S_IFREG; });
  refused("the root is no folder", [](auto& s) { s.inodes.clear(); });
  refused("entries of folder 1 are out of order", [](auto& s) { s.inodes[0].count = 1000; });
  refused("entries of folder 3 are out of order", [](auto& s) { s.inodes[2].first = 0; });
  refused("not sorted", [](auto& s) { std::swap(s.entries[0], s.entries[1]); });
  refused("wrong name", [](auto& s) { s.names[s.entries[0].name] = '/'; });
  refused("wrong name", [](auto& s) { s.names[s.entries[0].name] = '\0'; });
  refused("wrong name", [](auto& s) { s.entries[0].name_length = 0; });
  refused("wrong name", [](auto& s) { s.entries[0] = {2, 2, s.add_text("..")}; });
  refused("outside of the names", [](auto& s) { s.entries[0].name = UINT64_MAX; });
  refused("outside of the names", [](auto& s) { s.inodes[3].size = UINT64_MAX; });
  refused("leads to no inode", [](auto& s) { s.entries[0].inode = 5; });
  refused("leads to no inode", [](auto& s) { s.entries[0].inode = 1; });
  refused("is not where it says", [](auto& s) { s.entries[3].inode = 3; });
  refused("is not where it says", [](auto& s) { s.inodes[2].parent = 3; });
  refused("is in 1 places", [](auto& s) { s.entries[2].inode = 4, s.inodes[3].links = 2; });
  refused("leads to no chunk", [](auto& s) { s.extents[1].chunk = 2; });
  refused("overlap or leave", [](auto& s) { s.extents[1].offset = 99; });
  refused("overlap or leave", [](auto& s) { s.extents[1].offset = 401; });
  refused("overlap or leave", [](auto& s) { s.extents[1].offset = UINT64_MAX - 1; });
  refused("has 0 bytes", [](auto& s) { s.chunks[0].length = 0; });
  refused("has 4294967295 bytes", [](auto& s) { s.chunks[0].length = UINT32_MAX; });
  refused("has 9223372036854775808 bytes", [](auto& s) { s.inodes[1].size = uint64_t{1} << 63; });
  refused("the header says", [](auto& s) { s.total_bytes = 1; });
  refused("wrong target", [](auto& s) { s.names[s.inodes[3].first] = '\0'; });
  refused("no attribute 9", [](auto& s) { s.xattr_refs[0] = 9; });
  refused("attributes of inode 2", [](auto& s) { s.inodes[1].xattr_count = 2; });
  refused("attribute's value", [](auto& s) { s.xattrs[0].value = 1U << 30; });
  refused("nanoseconds", [](auto& s) { s.inodes[1].mtime_ns = 1'000'000'000; });
  refused("has the mode", [](auto& s) { s.inodes[3].mode = 0777; });
  refused("no inode uses", [](auto& s) { s.extents.push_back({}); });
}

TEST_CASE("fault 7: a blob with any bytes flipped is refused or read within its bounds") {
  const Bytes good = sample().assemble();
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    Bytes blob = good;
    for (int i = 0; i < 3; ++i) blob[random() % blob.size()] = static_cast<std::byte>(random());
    try {
      const ImageReader r(std::move(blob));
      size_t seen = 0;
      for (uint32_t n = 1; n <= r.inode_count(); ++n) {
        const InodeRecord& i = r.inode(n);
        for (const EntryRecord& e : r.entries(i)) seen += r.name(e).size() + r.inode(e.inode).mode;
        for (const ExtentRecord& e : r.extents(i, i.size / 2, i.size)) seen += r.chunks()[e.chunk].length;
        for (size_t x = 0; x < r.xattr_count(i); ++x) seen += r.xattr(i, x).value.size();
        seen += r.target(i).size();
      }
      CHECK(seen > 0);
    } catch (const Error& e) {
      CHECK(e.exit() == Exit::corrupt);
    }
  }
}

TEST_CASE("the example of docs/format.md has the size that it says") {
  BlobSections s;
  s.total_bytes = 5;
  s.inodes.resize(2);
  s.inodes[0] = {.mode = S_IFDIR | 0755, .links = 2, .count = 1, .parent = 1};
  s.inodes[1] = {.mode = S_IFREG | 0644, .links = 1, .size = 5, .count = 1};
  s.entries = {{2, 1, s.add_text("a")}};
  s.extents = {{0, 0, 0}};
  s.chunks = {{{}, 5, 0}};
  Bytes blob = s.assemble();
  CHECK(blob.size() == 337);
  CHECK(ImageReader(std::move(blob)).find("a") == 2);
}
