// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include <doctest/doctest.h>
#include <sys/mman.h>

#include "core/base/files.h"
#include "core/checkpoint/images.h"
#include "core/memory/page_source.h"

namespace coldstart {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t P = page_size;
constexpr uint32_t lazy_present = PageRun::lazy | PageRun::present;

struct Run {
  uint64_t page;
  uint64_t pages;
  uint32_t flags;
};

/// One process, 7, with a mapping of pages 100 to 200 and one of pages 200 to 300; the pages file 3 holds
/// page after page the letters of `bytes`.
void write_images(const fs::path& folder, const std::vector<Run>& runs, const std::string& bytes) {
  fs::create_directories(folder);
  CriuImage pagemap(ImageKind::pagemap);
  criu::PagemapHead head;
  head.set_pages_id(3);
  pagemap.append(head);
  for (const Run& run : runs) {
    criu::PagemapEntry entry;
    entry.set_vaddr(run.page * P);
    entry.set_nr_pages(run.pages);
    entry.set_flags(run.flags);
    pagemap.append(entry);
  }
  pagemap.write(folder / "pagemap-7.img");
  CriuImage mm(ImageKind::mm);
  criu::Mm message;
  for (uint64_t i : {1U, 2U}) {
    criu::Vma* vma = message.add_vmas();
    vma->set_start(i * 100 * P);
    vma->set_end((i + 1) * 100 * P);
    vma->set_flags(MAP_PRIVATE | MAP_ANONYMOUS);
    if (i == 2) vma->set_madv(1U << MADV_WIPEONFORK);
  }
  mm.append(message);
  mm.write(folder / "mm-7.img");
  std::string content;
  for (const char c : bytes) content += std::string(P, c);
  write_file_atomic(folder / "pages-3.img", as_bytes(content));
}

std::string letters(const PageSource& source, uint64_t page, uint64_t pages) {
  Bytes scratch(pages * P);
  const std::string_view bytes = as_text(source.view(page * P, pages * P, scratch));
  std::string result;
  for (uint64_t i = 0; i < pages; ++i) result += bytes[i * P + i];
  return result;
}

TEST_CASE("image pages: only lazy runs are served, split where mappings meet") {
  const TempDir dir;
  write_images(dir.path(), {{110, 2, PageRun::present}, {198, 4, lazy_present}, {210, 1, lazy_present}},
               "abCDEFG");
  const auto source = open_image_pages(dir.path())->process(7);
  CHECK(source->pieces() ==
        std::vector<Piece>{{198 * P, 2 * P, 198 * P}, {200 * P, 2 * P, 200 * P}, {210 * P, P, 210 * P}});
  CHECK(letters(*source, 198, 2) == "CD");
  CHECK(letters(*source, 201, 1) == "F");
  CHECK(letters(*source, 210, 1) == "G");
  CHECK(source->mappings().size() == 2);
  CHECK(source->not_inherited() == std::vector<std::pair<uint64_t, uint64_t>>{{200 * P, 300 * P}});
}

TEST_CASE("image pages: an incremental dump takes from its parent what did not change") {
  const TempDir dir;
  write_images(dir.path() / "1", {{120, 4, lazy_present}}, "abcd");
  write_images(dir.path() / "2", {{120, 1, lazy_present}, {121, 3, PageRun::lazy | PageRun::in_parent}}, "X");
  fs::create_symlink("../1", dir.path() / "2/parent");
  const auto source = open_image_pages(dir.path() / "2")->process(7);
  CHECK(letters(*source, 120, 1) == "X");
  CHECK(letters(*source, 121, 3) == "bcd");
}

TEST_CASE("image pages: damaged images are refused (7)") {
  const TempDir dir;
  CHECK_THROWS_AS(open_image_pages(dir.path())->process(7), Error);
  write_images(dir.path(), {{110, 3, lazy_present}}, "ab");  // truncated
  CHECK_THROWS_AS(open_image_pages(dir.path())->process(7), Error);
  write_images(dir.path(), {{310, 1, lazy_present}}, "a");  // in no mapping
  CHECK_THROWS_AS(open_image_pages(dir.path())->process(7), Error);
  write_images(dir.path(), {{110, 1, PageRun::lazy | PageRun::in_parent}}, "");  // without a parent
  CHECK_THROWS_AS(open_image_pages(dir.path())->process(7), Error);
  write_images(dir.path(), {{110, 1, PageRun::lazy | PageRun::in_parent}}, "");
  fs::create_symlink(".", dir.path() / "parent");  // its own parent
  CHECK_THROWS_AS(open_image_pages(dir.path())->process(7), Error);
}

}  // namespace
}  // namespace coldstart
