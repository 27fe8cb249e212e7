// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pinned_mappings.h"

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/checkpoint/shared_images.h"
#include "image_files.h"

namespace coldstart {
namespace {

constexpr uint64_t pages = 64;

/// Process 7 with three large mappings of ordinary memory, one of another kind, and one that a thread's stack
/// pointer is in.
void write_images(const std::filesystem::path& folder) {
  std::vector<TestMapping> mappings;
  std::vector<TestRun> runs;
  for (uint64_t i = 1; i <= 5; ++i) {
    mappings.push_back({100 * i, pages});
    runs.push_back({100 * i, pages});
  }
  write_process(folder, 7, mappings, runs, [](uint64_t page) { return page; });
  CriuImage image = CriuImage::read(folder / "mm-7.img", ImageKind::mm);
  auto mm = image.entry<criu::Mm>(0);
  for (criu::Vma& vma : *mm.mutable_vmas()) {
    vma.set_status(vma_regular | vma_anonymous_private);
    vma.set_madv(uint64_t{1} << MADV_NOHUGEPAGE);
  }
  mm.mutable_vmas(3)->set_status(vma_regular | vma_anonymous_private | 1U << 3);
  image.replace(0, mm);
  image.write(folder / "mm-7.img");

  CriuImage tree(ImageKind::pstree);
  criu::Process process;
  process.set_pid(7);
  process.add_threads(7);
  tree.append(process);
  tree.write(folder / "pstree.img");
  CriuImage core(ImageKind::core);
  criu::Core thread;
  thread.mutable_thread_info()->mutable_gpregs()->set_sp((500 + 3) * P);
  core.append(thread);
  core.write(folder / "core-7.img");
}

PinnedMapping mapping(uint64_t page) {
  return {7, page * P, (page + pages) * P};
}

uint64_t advice(const std::filesystem::path& folder, int number) {
  return CriuImage::read(folder / "mm-7.img", ImageKind::mm).entry<criu::Mm>(0).vmas(number).madv();
}

Exit refusal(const std::string& text) {
  try {
    parse_pinned_list(text, "it");
  } catch (const Error& e) {
    return e.exit();
  }
  return Exit::ok;
}

TEST_CASE("pinned mappings: those that the images have, and that nobody touches early, are kept") {
  const TempDir dir;
  write_images(dir.path());
  CHECK(read_pinned_list(dir.path()).empty());
  const PinnedMapping grown{7, 200 * P, (200 + pages + 1) * P};
  const PinnedMapping other_process{8, 100 * P, (100 + pages) * P};
  keep_pinned_mappings(dir.path(),
                       {mapping(300), mapping(100), grown, mapping(400), mapping(500), other_process});
  CHECK(read_pinned_list(dir.path()) == std::vector<PinnedMapping>{mapping(100), mapping(300)});
  CHECK(advice(dir.path(), 0) == uint64_t{1} << MADV_HUGEPAGE);
  CHECK(advice(dir.path(), 1) == uint64_t{1} << MADV_NOHUGEPAGE);
  CHECK(is_pinned({mapping(100), mapping(300)}, 7, 300 * P));
  CHECK(is_pinned({mapping(100), mapping(300)}, 7, (300 + pages) * P - 1));
  CHECK(!is_pinned({mapping(100), mapping(300)}, 7, (300 + pages) * P));
  CHECK(!is_pinned({mapping(100), mapping(300)}, 7, 200 * P));
  CHECK(!is_pinned({mapping(100), mapping(300)}, 6, 100 * P));
  CHECK(!is_pinned({mapping(100), mapping(300)}, 8, 100 * P));
}

TEST_CASE("pinned mappings: their bytes may be in the shared copy, but they are no mappings of it") {
  const TempDir dir;
  write_images(dir.path());
  CriuImage(ImageKind::files).write(dir.path() / "files.img");
  keep_pinned_mappings(dir.path(), {mapping(100)});
  REQUIRE(choose_shared_mappings(dir.path(), false).size() == 2);
  const std::vector<SharedMapping> shared = choose_shared_mappings(dir.path(), true);
  REQUIRE(shared.size() == 3);
  const TempDir copy;
  write_shared_images(dir.path(), copy.path(), shared);
  CHECK(read_pinned_list(copy.path()) == std::vector<PinnedMapping>{mapping(100)});
  const auto mm = CriuImage::read(copy.path() / "mm-7.img", ImageKind::mm).entry<criu::Mm>(0);
  CHECK(mm.vmas(0).status() == (vma_regular | vma_anonymous_private));
  CHECK(mm.vmas(1).status() == (vma_regular | vma_file_private));
  CHECK(mm.vmas(2).status() == (vma_regular | vma_file_private));
}

TEST_CASE("pinned mappings: without any there is no list") {
  const TempDir dir;
  write_images(dir.path());
  keep_pinned_mappings(dir.path(), {});
  keep_pinned_mappings(dir.path(), {mapping(600)});
  CHECK(!std::filesystem::exists(dir.path() / "pinned.json"));
}

TEST_CASE("pinned mappings: a list that makes no sense is corrupt") {
  CHECK(parse_pinned_list(R"({"mappings": [[8, 4096, 8192], [7, 8192, 12288], [7, 4096, 8192]]})", "it") ==
        std::vector<PinnedMapping>{{7, 4096, 8192}, {7, 8192, 12288}, {8, 4096, 8192}});
  for (const char* text :
       {"", "[]", "{}", R"({"mappings": [[7, 4096]]})", R"({"mappings": [[7, 4096, 4096]]})",
        R"({"mappings": [[7, 8192, 4096]]})", R"({"mappings": [[7, 1, 4096]]})",
        R"({"mappings": [[4294967296, 4096, 8192]]})", R"({"mappings": [[-1, 4096, 8192]]})",
        R"({"mappings": [[7, 4096, 12288], [7, 8192, 16384]]})"})
    CHECK_MESSAGE(refusal(text) == Exit::corrupt, text);
}

}  // namespace
}  // namespace coldstart
