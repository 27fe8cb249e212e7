// SPDX-License-Identifier: Apache-2.0
#pragma once
// CRIU's images of a made-up process, for tests of what reads and edits them.

#include <functional>

#include <sys/mman.h>

#include "core/base/files.h"
#include "core/checkpoint/images.h"

namespace coldstart {

constexpr uint64_t P = 4096;

struct TestRun {
  uint64_t page;  // its number in the address space
  uint64_t pages;
  uint32_t flags = PageRun::lazy | PageRun::present;
};
struct TestMapping {
  uint64_t page;
  uint64_t pages;
  uint32_t flags = MAP_PRIVATE | MAP_ANONYMOUS;
};

/// The bytes of a page: noise that only `seed` decides; zeros for 0.
inline Bytes page_of(uint64_t seed) {
  Bytes bytes(P);
  uint64_t state = seed;
  for (size_t i = 0; seed != 0 && i < P; i += 8) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    std::memcpy(bytes.data() + i, &state, 8);
  }
  return bytes;
}

/// pagemap, mm and pages of process `pid`; `seed_of` gives each page's seed by its number.
inline void write_process(const std::filesystem::path& folder, uint32_t pid,
                          const std::vector<TestMapping>& mappings, const std::vector<TestRun>& runs,
                          const std::function<uint64_t(uint64_t page)>& seed_of) {
  std::filesystem::create_directories(folder);
  const std::string number = std::to_string(pid);
  CriuImage mm(ImageKind::mm);
  criu::Mm message;
  for (const TestMapping& m : mappings) {
    criu::Vma* vma = message.add_vmas();
    vma->set_start(m.page * P);
    vma->set_end((m.page + m.pages) * P);
    vma->set_flags(m.flags);
  }
  mm.append(message);
  mm.write(folder / ("mm-" + number + ".img"));
  CriuImage pagemap(ImageKind::pagemap);
  criu::PagemapHead head;
  head.set_pages_id(pid);
  pagemap.append(head);
  Bytes bytes;
  for (const TestRun& run : runs) {
    criu::PagemapEntry entry;
    entry.set_vaddr(run.page * P);
    entry.set_nr_pages(run.pages);
    entry.set_flags(run.flags);
    pagemap.append(entry);
    for (uint64_t i = 0; (run.flags & PageRun::present) && i < run.pages; ++i)
      append(bytes, page_of(seed_of(run.page + i)));
  }
  pagemap.write(folder / ("pagemap-" + number + ".img"));
  write_file_atomic(folder / ("pages-" + number + ".img"), bytes);
}

}  // namespace coldstart
