// SPDX-License-Identifier: Apache-2.0
// Fault 7: a truncated or fuzzed CRIU image is a clean error.
#include "core/checkpoint/images.h"

#include <random>

#include <doctest/doctest.h>
#include <fcntl.h>

#include "core/base/files.h"

using namespace coldstart;

namespace {

/// A folder of images of a parent (3 pages, one of them only zeros) and its zombie child.
class Images {
 public:
  Images() {
    CriuImage inventory(ImageKind::inventory);
    criu::Inventory version;
    version.set_img_version(2);
    inventory.append(version);
    inventory.write(at("inventory.img"));

    CriuImage tree(ImageKind::pstree);
    tree.append(process(10, 0, 2));
    tree.append(process(11, 10, 1));
    tree.write(at("pstree.img"));
    core(10, 1, "server");
    core(11, 6, "gone");

    CriuImage map(ImageKind::pagemap);
    criu::PagemapHead head;
    head.set_pages_id(1);
    map.append(head);
    map.append(run(0x1000, 2, PageRun::present | PageRun::lazy));
    map.append(run(0x8000, 1, PageRun::lazy));
    map.append(run(0x9000, 1, PageRun::present));
    map.write(at("pagemap-10.img"));
    write_file_atomic(at("pages-1.img"), Bytes(3 * 4096));
  }

  std::filesystem::path at(const std::string& name) const { return folder_.path() / name; }
  const std::filesystem::path& path() const { return folder_.path(); }

  static criu::PagemapEntry run(uint64_t start, uint64_t pages, uint32_t flags) {
    criu::PagemapEntry entry;
    entry.set_vaddr(start);
    entry.set_nr_pages(pages);
    entry.set_compat_nr_pages(0);
    entry.set_flags(flags);
    return entry;
  }

 private:
  static criu::Process process(uint32_t pid, uint32_t parent, int threads) {
    criu::Process entry;
    entry.set_pid(pid);
    entry.set_ppid(parent);
    for (int i = 0; i < threads; ++i) entry.add_threads(pid + static_cast<uint32_t>(100 * i));
    return entry;
  }
  void core(uint32_t pid, uint32_t state, const std::string& name) const {
    CriuImage image(ImageKind::core);
    criu::Core entry;
    entry.mutable_tc()->set_task_state(state);
    entry.mutable_tc()->set_comm(name);
    image.append(entry);
    image.write(at("core-" + std::to_string(pid) + ".img"));
  }

  TempDir folder_;
};

std::string refusal(const std::filesystem::path& folder) {
  try {
    summarize_images(folder);
    return "";
  } catch (const Error& e) {
    CHECK(e.exit() == Exit::corrupt);
    return e.message();
  }
}

}  // namespace

TEST_CASE("the images say which processes there are and how much memory they have") {
  const Images images;
  const ImagesSummary summary = summarize_images(images.path());
  REQUIRE(summary.processes.size() == 2);
  CHECK(summary.processes[0].pid == 10);
  CHECK(summary.processes[0].threads == 2);
  CHECK(summary.processes[0].name == "server");
  CHECK(summary.processes[0].memory_bytes == 3 * 4096);
  CHECK(summary.processes[1].parent == 10);
  CHECK(summary.processes[1].zombie);
  CHECK(summary.memory_bytes() == 3 * 4096);
}

TEST_CASE("only pages that are present move the offset in the pages file") {
  const Images images;
  const Pagemap map = read_pagemap(images.at("pagemap-10.img"));
  CHECK(map.pages_id == 1);
  REQUIRE(map.runs.size() == 3);
  CHECK(map.runs[1].flags == PageRun::lazy);
  CHECK(map.runs[2].start == 0x9000);
  CHECK(map.runs[2].offset == 2 * 4096);
}

TEST_CASE("an edit keeps the fields that are not known") {
  const std::string unknown =
      "\xa2\x06\x03"
      "abc";  // field 100
  criu::Vma vma;
  REQUIRE(vma.ParseFromString("\x08\x05" + unknown));
  vma.set_start(7);
  CHECK(vma.SerializeAsString() == "\x08\x07" + unknown);
}

TEST_CASE("an image that is read and written again is the same") {
  const Images images;
  const std::string before = read_text(images.at("pagemap-10.img"));
  CHECK(CriuImage::read(images.at("pagemap-10.img"), ImageKind::pagemap).packed() == before);
}

TEST_CASE("fault 7: a pagemap that overlaps, wraps or is unordered is corrupt") {
  const Images images;
  const auto with = [&](const criu::PagemapEntry& last) {
    CriuImage map = CriuImage::read(images.at("pagemap-10.img"), ImageKind::pagemap);
    map.append(last);
    map.write(images.at("pagemap-10.img"));
    return refusal(images.path());
  };
  SUBCASE("overlap") {
    CHECK(with(Images::run(0x9000, 1, PageRun::lazy)).find("order") != std::string::npos);
  }
  SUBCASE("huge") {
    CHECK(with(Images::run(0xa000, ~uint64_t{0}, PageRun::present)) != "");
  }
  SUBCASE("empty") {
    CHECK(with(Images::run(0xa000, 0, PageRun::present)) != "");
  }
  SUBCASE("odd") {
    CHECK(with(Images::run(0xa001, 1, PageRun::present)) != "");
  }
  SUBCASE("beyond the file") {
    CHECK(with(Images::run(0xa000, 1, PageRun::present)).find("pages-1.img") != std::string::npos);
  }
}

TEST_CASE("fault 7: an image cut at any byte is corrupt, or shorter, never read beyond its end") {
  const Images images;
  const Bytes whole = read_file(images.at("pagemap-10.img"));
  size_t refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    try {
      const CriuImage cut = CriuImage::parse(ByteSpan(whole).first(size), ImageKind::pagemap, "cut");
      CHECK(cut.size() < 4);
    } catch (const Error& e) {
      CHECK(e.exit() == Exit::corrupt);
      ++refused;
    }
  }
  CHECK(refused > whole.size() / 2);
}

TEST_CASE("fault 7: images with random bytes flipped are read or refused, no more") {
  std::mt19937 random(7);
  for (const char* name : {"inventory.img", "pstree.img", "core-10.img", "pagemap-10.img"}) {
    const Images images;
    const Bytes whole = read_file(images.at(name));
    const Fd file = open_file(images.at(name), O_WRONLY);
    for (int round = 0; round < 300; ++round) {
      Bytes bytes = whole;
      for (int flips = 0; flips < 3; ++flips)
        bytes[random() % bytes.size()] = static_cast<std::byte>(random() & 0xff);
      pwrite_full(file.get(), bytes, 0);
      try {
        summarize_images(images.path());
      } catch (const Error&) {  // any other exception fails the test
      }
    }
  }
}

TEST_CASE("what is missing is named") {
  const Images images;
  std::filesystem::remove(images.at("core-10.img"));
  CHECK_THROWS_WITH_AS(summarize_images(images.path()), doctest::Contains("core-10.img"), Error);
}
