// SPDX-License-Identifier: Apache-2.0
#include "core/image/tree.h"

#include <algorithm>
#include <random>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/path.h"
#include "core/image/reader.h"

using namespace coldstart;

namespace {

SourceEntry entry(std::string path, mode_t mode, off_t size = 0) {
  SourceEntry e;
  e.path = std::move(path);
  e.stat.st_mode = mode;
  e.stat.st_size = size;
  return e;
}

SourceEntry hard_link(std::string path, std::string target) {
  SourceEntry e;
  e.path = std::move(path);
  e.target = std::move(target);
  e.hard_link = true;
  return e;
}

/// A chunk "content" of the file that was added last; equal numbers are equal chunks.
void piece(ImageTree& tree, uint64_t offset, uint32_t length, uint8_t number) {
  tree.add_piece(offset, length).digest.raw[0] = number;
}

}  // namespace

TEST_CASE("a tree gives the same blob in whatever order its entries came") {
  std::vector<SourceEntry> entries;
  for (const char* folder : {"b", "a", "a/x", "c"}) entries.push_back(entry(folder, S_IFDIR | 0700));
  for (const char* file : {"b/2", "a/x/1", "c/3", "a.b", "a-b"}) {
    entries.push_back(entry(file, S_IFREG | 0600, 10));
    entries.back().xattrs = {{"user.b", file}, {"user.a", "1"}};
  }
  std::mt19937 random(1);
  Bytes first;
  for (int round = 0; round < 20; ++round) {
    ImageTree tree;
    for (const SourceEntry& e : entries) {
      tree.add(e);
      if (S_ISREG(e.stat.st_mode)) piece(tree, 0, 10, e.path.size() > 3 ? 1 : 2);
    }
    Bytes blob = tree.finish().assemble();
    if (round == 0) first = blob;
    CHECK(blob == first);
    std::shuffle(entries.begin(), entries.end(), random);
  }
  const ImageReader r(std::move(first));
  CHECK(r.inode_count() == 10);
  CHECK(r.total_bytes() == 50);
  CHECK(r.chunks().size() == 2);
  CHECK(r.xattr(r.inode(r.find("a/x/1")), 1).value == "a/x/1");
  CHECK(r.inode(r.find("a")).links == 3);
}

TEST_CASE("hard links share an inode, and replaced names leave it") {
  ImageTree tree;
  tree.add(entry("one", S_IFREG | 0600, 5));
  piece(tree, 0, 5, 1);
  tree.add(hard_link("d/two", "one"));
  tree.add(entry("one", S_IFREG | 0644, 7));
  piece(tree, 0, 7, 2);
  tree.add(hard_link("d/two", "d/two"));
  const ImageReader r(tree.finish().assemble());
  CHECK(r.inode(r.find("one")).size == 7);
  CHECK(r.inode(r.find("d/two")).size == 5);
  CHECK(r.inode(r.find("d/two")).links == 1);
  CHECK(r.total_bytes() == 12);
}

TEST_CASE("a folder that comes again keeps its entries, and a link may become a folder") {
  ImageTree tree;
  tree.add(entry("d", S_IFDIR | 0700));
  tree.add(entry("d/f", S_IFREG | 0600));
  tree.add(entry("d", S_IFDIR | 0755));
  SourceEntry symlink = entry("s", S_IFLNK | 0777);
  symlink.target = "/etc";
  tree.add(symlink);
  tree.add(entry("s", S_IFDIR | 0700));
  tree.add(entry("s/f", S_IFREG | 0600));
  const ImageReader r(tree.finish().assemble());
  CHECK((r.inode(r.find("d")).mode & 07777) == 0755);
  CHECK(r.find("d/f") != 0);
  CHECK(r.find("s/f") != 0);
}

TEST_CASE("fault 9: entries that cannot be are refused by name") {
  ImageTree tree;
  SourceEntry symlink = entry("out", S_IFLNK | 0777);
  symlink.target = "/etc";
  tree.add(symlink);
  tree.add(entry("d/f", S_IFREG | 0600));
  CHECK_THROWS_WITH(tree.add(entry("out/passwd", S_IFREG)),
                    "the entry below out cannot be: that is no folder");
  CHECK_THROWS_WITH(tree.add(hard_link("x", "none")), "x is a hard link to none, which is not there");
  CHECK_THROWS_WITH(tree.add(hard_link("x", "d")), "x is a hard link to d, which is a folder");
  CHECK_THROWS_WITH(tree.add(hard_link("x", "out/passwd")),
                    "x is a hard link to out/passwd, which is not there");
  CHECK_THROWS_WITH(tree.add(entry("d", S_IFREG)), "the folder d comes again as something else");
  CHECK_THROWS_AS(tree.add(entry("", S_IFREG)), Error);
  CHECK_THROWS_AS(tree.add(entry("empty", S_IFLNK)), Error);
}

TEST_CASE("fault 9: names stay below the root") {
  CHECK(inner_path("/a//./b/") == "a/b");
  CHECK(inner_path("./") == "");
  CHECK(inner_path("..a/b..") == "..a/b..");
  CHECK_THROWS_AS(inner_path("a/../b"), Error);
  CHECK_THROWS_AS(inner_path(".."), Error);
  CHECK_THROWS_AS(inner_path(std::string(256, 'x')), Error);
  CHECK_THROWS_AS(inner_path(std::string_view("a\0b", 3)), Error);
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "d/";
  CHECK_THROWS_AS(inner_path(deep), Error);
}

TEST_CASE("names are shown without what would harm a terminal") {
  CHECK(shown("a/é") == "a/é");
  CHECK(shown("a\x1b[2J\xff") == "a\\x1b[2J\\xff");
  CHECK(shown("") == "/");
}
