// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/mapped_files.h"

#include <algorithm>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/base/files.h"
#include "image_files.h"

namespace coldstart {
namespace {

void add_process(const std::filesystem::path& folder, CriuImage& tree, uint32_t pid,
                 const std::vector<TestRun>& runs) {
  write_process(folder, pid, {{10, 8}, {20, 4}, {30, 4}}, runs, [](uint64_t page) { return page; });
  const auto file = folder / ("mm-" + std::to_string(pid) + ".img");
  CriuImage image = CriuImage::read(file, ImageKind::mm);
  auto mm = image.entry<criu::Mm>(0);
  for (const int i : {0, 1}) {  // the third is anonymous
    criu::Vma& vma = *mm.mutable_vmas(i);
    vma.set_flags(MAP_PRIVATE);
    vma.set_status(vma_regular | vma_file_private);
    vma.set_shmid(static_cast<uint64_t>(7 + i));
    vma.set_pgoff(static_cast<uint64_t>(i) * 100 * P);
  }
  image.replace(0, mm);
  image.write(file);
  criu::Process process;
  process.set_pid(pid);
  tree.append(process);
}

TEST_CASE("mapped files: the pages under what processes changed, each file once") {
  const TempDir dir;
  CriuImage tree(ImageKind::pstree);
  add_process(dir.path(), tree, 1, {{11, 2, PageRun::present}, {15, 1, PageRun::present}, {31, 2}});
  add_process(dir.path(), tree, 2, {{12, 2, PageRun::present}, {17, 4, PageRun::present}});
  criu::Process zombie;
  zombie.set_pid(3);
  tree.append(zombie);
  tree.write(dir.path() / "pstree.img");
  CriuImage files(ImageKind::files);
  for (const uint32_t id : {7U, 8U}) {
    criu::File file;
    file.set_id(id);
    file.mutable_reg()->set_name("/lib/" + std::to_string(id));
    files.append(file);
  }
  files.write(dir.path() / "files.img");

  const std::vector<MappedFile> want = {{"/lib/7", {{1 * P, 3 * P}, {5 * P, 1 * P}, {7 * P, 1 * P}}},
                                        {"/lib/8", {{100 * P, 1 * P}}}};
  CHECK(mapped_files(dir.path()) == want);
}

bool covers(const MappedFile& file, uint64_t page) {
  return std::any_of(file.wanted.begin(), file.wanted.end(), [&](const FileRange& r) {
    return r.offset <= page * P && page * P < r.offset + r.bytes;
  });
}

TEST_CASE("files in memory: the pages that a process has used, and the little between them") {
  const TempDir dir;
  const auto path = dir.path() / "library";
  constexpr size_t pages = 256;
  write_file_atomic(path, Bytes(pages * P, std::byte{1}));
  const Fd file = open_file(path, O_RDONLY);
  void* mapped = ::mmap(nullptr, (pages - 16) * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get(), 16 * P);
  REQUIRE(mapped != MAP_FAILED);
  auto* at = static_cast<volatile char*>(mapped);
  // Nothing is mapped around what is touched.
  ::madvise(mapped, (pages - 16) * P, MADV_RANDOM);
  ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM);
  at[0] = 2;  // a page of its own from now on
  (void)at[9 * P];
  (void)at[200 * P];

  const auto files = files_in_memory({::getpid()});
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const MappedFile& f) { return f.path == path; });
  REQUIRE(found != files.end());
  CHECK(found->wanted.front().offset <= 16 * P);
  CHECK(covers(*found, 16));
  CHECK(covers(*found, 20));  // between
  CHECK(covers(*found, 25));
  CHECK(covers(*found, 216));
  CHECK_FALSE(covers(*found, 120));
  CHECK(files_in_memory({}).empty());

  // What is forgotten is there no more, but for pages of its own, and comes back when it is used.
  forget_files({::getpid()});
  CHECK(at[0] == 2);
  CHECK(at[200 * P] == 1);
  const auto since = files_in_memory({::getpid()});
  const auto again =
      std::find_if(since.begin(), since.end(), [&](const MappedFile& f) { return f.path == path; });
  REQUIRE(again != since.end());
  CHECK(covers(*again, 16));
  CHECK_FALSE(covers(*again, 25));
  CHECK(covers(*again, 216));
  ::munmap(mapped, (pages - 16) * P);
}

}  // namespace
}  // namespace coldstart
