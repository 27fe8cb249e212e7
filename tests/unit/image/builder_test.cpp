// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/image/image.h"
#include "core/image/source.h"
#include "core/image/trace.h"

using namespace coldstart;

namespace {

/// A folder with one file of given content, all of it handed out as one range in odd pieces.
class OneFile final : public TreeSource {
 public:
  explicit OneFile(std::string content) : content_(std::move(content)) {}
  std::string describe() const override { return "a file"; }
  void walk(const std::function<void(SourceEntry&, const Read&)>& each, const CancelToken&) override {
    SourceEntry e;
    e.path = "f";
    e.stat.st_mode = S_IFREG | 0644;
    e.stat.st_size = static_cast<off_t>(content_.size());
    if (!content_.empty()) e.ranges = {{0, content_.size()}};
    each(e, [at = size_t{0}, this](MutableByteSpan into) mutable {
      const size_t n = std::min({into.size(), content_.size() - at, size_t{7777}});
      std::copy_n(as_bytes(content_).begin() + static_cast<ptrdiff_t>(at), n, into.begin());
      at += n;
      return n;
    });
  }

 private:
  std::string content_;
};

struct Built {
  TempDir folder;
  std::shared_ptr<Store> store = Store::open(folder.path() / "store");
  CancelToken cancel;
  NoProgress progress;
  Timeline timeline;
  Operation op{cancel, progress, timeline};

  PackStats build(std::string content) {
    OneFile source(std::move(content));
    BuildOptions options;
    options.chunk_bytes = 16384;
    return build_image(store, source, options, std::nullopt, op);
  }
  ImageReader open(const PackStats& stats) {
    return open_image(*store, read_image_manifest(*store, stats.digest));
  }
  std::string content(const ImageReader& image) {
    const InodeRecord& file = image.inode(image.find("f"));
    std::string all(file.size, '\0');
    for (const ExtentRecord& e : image.extents(file)) {
      const Bytes bytes = store->read(ImageReader::digest(image.chunks()[e.chunk]));
      all.replace(e.offset, bytes.size(), as_text(bytes));
    }
    return all;
  }
};

}  // namespace

TEST_CASE("a file is cut at the grid, and zero blocks around a piece are left out") {
  Built b;
  std::string content(5 * 16384 + 100, '\0');
  content[16384 + 4096] = 'x';                           // one block within the second cell
  std::fill_n(content.begin() + 3 * 16384, 16384, 'y');  // the fourth, whole
  content.back() = 'z';                                  // the last, which is short
  const ImageReader image = b.open(b.build(content));
  const auto extents = image.extents(image.inode(image.find("f")));
  REQUIRE(extents.size() == 3);
  CHECK(extents[0].offset == 16384 + 4096);
  CHECK(image.chunks()[extents[0].chunk].length == 4096);
  CHECK(extents[1].offset == 3 * 16384);
  CHECK(image.chunks()[extents[1].chunk].length == 16384);
  CHECK(extents[2].offset == 5 * 16384);
  CHECK(image.chunks()[extents[2].chunk].length == 100);
  CHECK(b.content(image) == content);
}

TEST_CASE("files of any length and content come back") {
  Built b;
  std::mt19937 random(1);
  for (const size_t size : {0U, 1U, 4095U, 4096U, 4097U, 16384U, 16385U, 100000U}) {
    std::string content(size, '\0');
    for (size_t i = 0; i < size; ++i)
      if (i / 4096 % 3 != 0) content[i] = static_cast<char>(random());
    CHECK(b.content(b.open(b.build(content))) == content);
  }
}

TEST_CASE("the same content is the same image and stores nothing new") {
  Built b;
  const PackStats first = b.build(std::string(100000, 'q'));
  CHECK(first.new_bytes > 0);
  const PackStats second = b.build(std::string(100000, 'q'));
  CHECK(second.digest == first.digest);
  CHECK(second.new_bytes == 0);
  CHECK(second.stored_bytes == first.stored_bytes);
  std::vector<Digest> needed;
  walk_image(*b.store, first.digest, needed);
  for (const Digest& digest : needed) CHECK(b.store->has(digest));
}

TEST_CASE("what uses an image is named first, and nothing twice") {
  Built b;
  const PackStats built =
      b.build(std::string(16384, 'a') + std::string(16384, 'b') + std::string(16384, 'c'));
  const auto cell = [](char c) { return Digest::of(as_bytes(std::string(16384, c))); };
  std::vector<Digest> all;
  walk_image(*b.store, built.digest, all);
  std::vector<Digest> used;
  const std::string trace = std::string(trace_text_header) + trace_line(2 * 16384 + 5, 1, "f");
  walk_image_in_use(*b.store, built.digest, trace, used);
  const size_t content = all.size() - 3;  // behind the metadata
  CHECK(std::vector(all.begin() + content, all.end()) == std::vector{cell('a'), cell('b'), cell('c')});
  CHECK(std::vector(used.begin() + content, used.end()) == std::vector{cell('c'), cell('a'), cell('b')});
  CHECK(std::equal(used.begin(), used.begin() + content, all.begin()));
  std::vector<Digest> damaged;  // gc and fsck walk by it, too
  walk_image_in_use(*b.store, built.digest, "no trace", damaged);
  CHECK(damaged == all);
}

TEST_CASE("a chunk size that is no power of two is refused") {
  Built b;
  OneFile source("x");
  BuildOptions options;
  options.chunk_bytes = 5000;
  CHECK_THROWS_AS(build_image(b.store, source, options, std::nullopt, b.op), Error);
}

TEST_CASE("fault 7: a manifest that is none is refused, a good one comes back") {
  ImageManifest m;
  m.blob_bytes = 5;
  m.blob_chunks = {Digest::of(as_bytes("blob"))};
  m.config.environment = {"A=B"};
  const std::string text = m.to_json();
  CHECK(ImageManifest::from_json(text, "m").to_json() == text);
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    try {
      ImageManifest::from_json(changed, "m");
      FAIL_CHECK("taken: " << changed);
    } catch (const Error& e) {
      CHECK(e.exit() == Exit::corrupt);
    }
  };
  refused("coldstart image 1", "coldstart image 2");
  refused("coldstart image 1", "something");
  refused("sha256:", "sha256:zz");
  refused("\"bytes\":5", "\"bytes\":-5");
  refused("\"bytes\":5", "\"bytes\":99999999999999");
  refused("\"files\"", "\"flies\"");
  refused("[\"A=B\"]", "[1]");
  refused("{", "");
}
