// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/late_pages.h"

#include <doctest/doctest.h>

#include "core/base/files.h"
#include "image_files.h"

namespace coldstart {
namespace {

constexpr uint32_t plain = vma_regular | vma_anonymous_private;
constexpr uint32_t vdso = vma_regular | vma_anonymous_private | 1U << 3;

/// Process 7 with mappings of these kinds, 8 pages each from page 10 on, and these runs.
void write_images(const std::filesystem::path& folder, const std::vector<uint32_t>& kinds,
                  const std::vector<TestRun>& runs) {
  std::vector<TestMapping> mappings;
  for (size_t i = 0; i < kinds.size(); ++i) mappings.push_back({10 + 8 * i, 8});
  write_process(folder, 7, mappings, runs, [](uint64_t page) { return page; });
  const auto file = folder / "mm-7.img";
  CriuImage image = CriuImage::read(file, ImageKind::mm);
  auto mm = image.entry<criu::Mm>(0);
  for (size_t i = 0; i < kinds.size(); ++i) {
    criu::Vma& vma = *mm.mutable_vmas(static_cast<int>(i));
    vma.set_status(kinds[i]);
    if (kinds[i] & vma_file_private) vma.set_flags(MAP_PRIVATE);
  }
  image.replace(0, mm);
  image.write(file);
}

std::vector<std::array<uint64_t, 3>> runs_in(const std::filesystem::path& folder) {
  std::vector<std::array<uint64_t, 3>> runs;
  for (const PageRun& run : read_pagemap(folder / "pagemap-7.img").runs)
    runs.push_back({run.start / P, run.pages, run.flags});
  return runs;
}

const std::vector<ImageProcess> process_7{{.pid = 7}};
constexpr uint64_t present = PageRun::present;
constexpr uint64_t both = PageRun::present | PageRun::lazy;

TEST_CASE("late pages: a run over several mappings is lazy where it may be") {
  const TempDir dir;
  write_images(dir.path(), {plain, plain | vma_heap, vma_regular | vma_file_private, vdso, plain},
               {{8, 40, PageRun::present}, {48, 2, PageRun::present}});
  mark_late_pages(dir.path(), process_7);
  // What is in no mapping is left as it is: it is for others to find fault with.
  const std::vector<std::array<uint64_t, 3>> want = {{8, 2, present},  {10, 8, both},    {18, 8, both},
                                                     {26, 8, present}, {34, 8, present}, {42, 6, both},
                                                     {48, 2, both}};
  CHECK(runs_in(dir.path()) == want);
}

TEST_CASE("late pages: what CRIU said already, what may not be late, and what is elsewhere stays") {
  const TempDir dir;
  write_images(dir.path(), {plain, vdso, vdso}, {{10, 2}, {24, 6, PageRun::present}});
  mark_late_pages(dir.path(), process_7);
  // Not even cut where one mapping ends.
  CHECK(runs_in(dir.path()) == std::vector<std::array<uint64_t, 3>>{{10, 2, both}, {24, 6, present}});

  const TempDir other;
  write_images(other.path(), {plain}, {{10, 2, PageRun::in_parent}, {12, 2, PageRun::present}});
  mark_late_pages(other.path(), process_7);
  CHECK(runs_in(other.path()) ==
        std::vector<std::array<uint64_t, 3>>{{10, 2, PageRun::in_parent}, {12, 2, both}});
}

}  // namespace
}  // namespace coldstart
