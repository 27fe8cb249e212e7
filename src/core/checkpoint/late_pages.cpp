// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/late_pages.h"

#include <algorithm>

#include <fmt/format.h>
#include <sys/mman.h>

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t page = 4096;

/// The run again, in pieces that each lie in one mapping or between two. `vma` is where to begin to look.
/// False if none of it may come late.
template <class Iterator>
bool append_marked(CriuImage& to, const PageRun& run, Iterator& vma, const Iterator& end_of_vmas) {
  const uint64_t end = run.start + run.pages * page;
  bool is_late = false;
  for (uint64_t at = run.start; at < end;) {
    while (vma != end_of_vmas && vma->end() <= at) ++vma;
    const bool inside = vma != end_of_vmas && vma->start() <= at;
    const uint64_t stop = inside               ? std::min<uint64_t>(end, vma->end())
                          : vma != end_of_vmas ? std::min(end, vma->start())
                                               : end;
    criu::PagemapEntry entry;
    entry.set_vaddr(at);
    entry.set_compat_nr_pages(0);
    entry.set_nr_pages((stop - at) / page);
    const bool late = inside && is_ordinary(*vma);
    entry.set_flags(late ? run.flags | PageRun::lazy : run.flags);
    to.append(entry);
    is_late |= late;
    at = stop;
  }
  return is_late;
}

void mark(const fs::path& images, uint32_t pid) {
  const fs::path file = images / fmt::format("pagemap-{}.img", pid);
  const Pagemap map = read_pagemap(file);
  const CriuImage before = CriuImage::read(file, ImageKind::pagemap);
  const auto mm = CriuImage::read(images / fmt::format("mm-{}.img", pid), ImageKind::mm).entry<criu::Mm>(0);
  CriuImage after(ImageKind::pagemap);
  after.append(before.entry<criu::PagemapHead>(0));
  auto vma = mm.vmas().begin();
  bool is_news = false;
  for (size_t i = 0; i < map.runs.size(); ++i) {
    if (map.runs[i].flags == PageRun::present)
      is_news |= append_marked(after, map.runs[i], vma, mm.vmas().end());
    else
      after.append(before.entry<criu::PagemapEntry>(i + 1));
  }
  if (is_news) after.write(file);
}

}  // namespace

bool may_come_late(const criu::Vma& vma) {
  constexpr uint32_t needed = MAP_ANONYMOUS | MAP_PRIVATE;
  return (vma.flags() & needed) == needed && !(vma.flags() & (MAP_LOCKED | MAP_HUGETLB));
}

bool is_ordinary(const criu::Vma& vma) {
  return may_come_late(vma) && (vma.status() & ~vma_heap) == (vma_regular | vma_anonymous_private);
}

void mark_late_pages(const fs::path& images, const std::vector<ImageProcess>& processes) {
  for (const ImageProcess& process : processes)
    if (!process.zombie) mark(images, process.pid);
}

}  // namespace coldstart
