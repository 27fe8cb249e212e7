// SPDX-License-Identifier: Apache-2.0
// What layers make of a tree: the outcome does not depend on the order of entries within a layer.
#include <algorithm>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/diff.h"
#include "core/image/reader.h"
#include "core/image/tree.h"
#include "core/image/walk.h"

using namespace coldstart;

namespace {

SourceEntry entry(uint32_t layer, std::string path, mode_t mode = S_IFREG | 0600) {
  SourceEntry e;
  e.path = std::move(path);
  e.stat.st_mode = mode;
  e.layer = layer;
  return e;
}
SourceEntry folder(uint32_t layer, std::string path) {
  return entry(layer, std::move(path), S_IFDIR | 0700);
}
SourceEntry link(uint32_t layer, std::string path, std::string target) {
  SourceEntry e = entry(layer, std::move(path), S_IFLNK | 0777);
  e.target = std::move(target);
  return e;
}
SourceEntry hard(uint32_t layer, std::string path, std::string target) {
  SourceEntry e = entry(layer, std::move(path), 0);
  e.target = std::move(target);
  e.hard_link = true;
  return e;
}
SourceEntry removes(uint32_t layer, std::string path, Removes what = Removes::path) {
  SourceEntry e = entry(layer, std::move(path), 0);
  e.removes = what;
  return e;
}

ImageReader image_of(const std::vector<SourceEntry>& entries) {
  ImageTree tree;
  for (const SourceEntry& e : entries) tree.add(e);
  return ImageReader(tree.finish().assemble());
}

/// All paths, with '/' behind folders.
std::vector<std::string> paths_of(const ImageReader& image) {
  struct Visitor {
    std::vector<std::string> paths;
    void enter(const std::string& path, std::string_view, uint32_t) {
      if (!path.empty()) paths.push_back(path + "/");
    }
    void leave(const std::string&, uint32_t) {}
    void visit(const std::string& path, std::string_view, uint32_t) { paths.push_back(path); }
  };
  Visitor visitor;
  walk_tree(image, visitor);
  return visitor.paths;
}

/// The second layer's entries in every order give this.
void check(const std::vector<SourceEntry>& lower, std::vector<SourceEntry> upper,
           const std::vector<std::string>& wanted) {
  const auto by_path = [](const SourceEntry& a, const SourceEntry& b) {
    return std::pair(a.path, a.removes) < std::pair(b.path, b.removes);
  };
  std::sort(upper.begin(), upper.end(), by_path);
  do {
    auto all = lower;
    all.insert(all.end(), upper.begin(), upper.end());
    CHECK(paths_of(image_of(all)) == wanted);
  } while (std::next_permutation(upper.begin(), upper.end(), by_path));
}

}  // namespace

TEST_CASE("a layer removes what is below it, and not what it has itself") {
  const std::vector<SourceEntry> lower = {folder(1, "d"), entry(1, "d/a"), folder(1, "d/e"),
                                          entry(1, "d/e/f"), entry(1, "x")};
  check(lower, {removes(2, "d/a"), removes(2, "x"), removes(2, "nothing/there")}, {"d/", "d/e/", "d/e/f"});
  check(lower, {removes(2, "d"), entry(2, "y")}, {"x", "y"});
  check(lower, {removes(2, "d"), folder(2, "d"), entry(2, "d/new")}, {"d/", "d/new", "x"});
  check(lower, {removes(2, "d", Removes::contents), entry(2, "d/new"), entry(2, "d/a")},
        {"d/", "d/a", "d/new", "x"});
  check(lower, {removes(2, "", Removes::contents), entry(2, "only")}, {"only"});
  check(lower, {removes(2, "d/e"), entry(2, "d/e/g")}, {"d/", "d/a", "d/e/", "d/e/g", "x"});
}

TEST_CASE("a layer puts one kind in place of another") {
  check({folder(1, "d"), entry(1, "d/a"), entry(1, "f")},
        {
            entry(2, "d"),
            folder(2, "f"),
        },
        {"d", "f/"});
  CHECK_THROWS_WITH_AS(image_of({entry(1, "d/f"), entry(1, "d")}), doctest::Contains("comes again"), Error);
}

TEST_CASE("a name can go and come back") {
  const std::vector<SourceEntry> all = {folder(1, "d"), entry(1, "d/a"), removes(2, "d"),
                                        entry(3, "d"),  removes(4, "d"), entry(5, "d/b/c")};
  CHECK(paths_of(image_of(all)) == std::vector<std::string>{"d/", "d/b/", "d/b/c"});
}

TEST_CASE("layers lead through links that are there already, never out of the tree") {
  const std::vector<SourceEntry> lower = {
      folder(1, "usr"),           folder(1, "usr/lib"),        link(1, "lib", "usr/lib"),
      link(1, "up", "../../usr"), link(1, "abs", "/usr/lib/"), link(1, "loop", "loop")};
  const auto image = image_of([&] {
    auto all = lower;
    all.insert(all.end(), {entry(2, "lib/a"), entry(2, "up/b"), entry(2, "abs/c"), hard(2, "h", "lib/a"),
                           removes(3, "lib/../lib/c")});
    return all;
  }());
  CHECK(image.find("usr/lib/a") != 0);
  CHECK(image.find("usr/b") != 0);
  CHECK(image.find("usr/lib/c") == 0);
  CHECK(image.find("h") == image.find("usr/lib/a"));
  auto looping = lower;
  looping.push_back(entry(2, "loop/x"));
  CHECK_THROWS_WITH_AS(image_of(looping), doctest::Contains("too many links"), Error);
  CHECK_THROWS_WITH_AS(image_of({link(0, "l", "d"), folder(0, "d"), entry(0, "l/x")}),
                       doctest::Contains("no folder"), Error);
}

TEST_CASE("a hard link of another layer counts as a name, and goes as one") {
  const auto image = image_of({entry(1, "a"), hard(2, "b", "a"), hard(2, "c", "a"), removes(3, "a")});
  CHECK(image.inode(image.find("b")).links == 2);
  CHECK(image.find("b") == image.find("c"));
  CHECK(image.find("a") == 0);
}

TEST_CASE("images that differ are told apart by their metadata") {
  auto before =
      std::vector<SourceEntry>{folder(0, "d"), entry(0, "d/f"), entry(0, "gone"), link(0, "l", "x")};
  auto after = std::vector<SourceEntry>{folder(0, "d"), entry(0, "d/f", S_IFREG | 0640), link(0, "l", "y"),
                                        folder(0, "new"), entry(0, "new/f")};
  after[1].stat.st_uid = 5;
  after[1].xattrs = {{"user.a", "b"}};
  std::vector<std::string> told;
  const DiffTotals totals = diff_images(image_of(before), image_of(after), [&](const PathChange& c) {
    std::string text(1, "+-~"[static_cast<size_t>(c.kind)]);
    text += c.path;
    for (const std::string& what : c.what) text += " " + what;
    told.push_back(text);
  });
  CHECK(told == std::vector<std::string>{"~d/f mode owner xattrs", "-gone", "~l target", "+new", "+new/f"});
  CHECK(totals.added == 2);
  CHECK(totals.removed == 1);
  CHECK(totals.changed == 2);
}
