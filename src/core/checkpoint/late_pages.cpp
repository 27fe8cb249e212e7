// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/late_pages.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/checkpoint/memory_pack.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t page = 4096;

/// Nothing but anonymous memory: no vdso, no guard, no shadow stack.
bool is_ordinary(const criu::Vma& vma) {
  return may_come_late(vma) && (vma.status() & ~vma_heap) == (vma_regular | vma_anonymous_private);
}

/// The run again, in pieces that each lie in one mapping or between two. `vma` is where to begin to look.
template <class Iterator>
void append_marked(CriuImage& to, const PageRun& run, Iterator& vma, const Iterator& end_of_vmas) {
  const uint64_t end = run.start + run.pages * page;
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
    entry.set_flags(inside && is_ordinary(*vma) ? run.flags | PageRun::lazy : run.flags);
    to.append(entry);
    at = stop;
  }
}

void mark(const fs::path& images, uint32_t pid) {
  const fs::path file = images / fmt::format("pagemap-{}.img", pid);
  const Pagemap map = read_pagemap(file);
  const auto is_lazy = [](const PageRun& run) { return (run.flags & PageRun::lazy) != 0; };
  if (std::any_of(map.runs.begin(), map.runs.end(), is_lazy)) return;
  const CriuImage before = CriuImage::read(file, ImageKind::pagemap);
  const auto mm = CriuImage::read(images / fmt::format("mm-{}.img", pid), ImageKind::mm).entry<criu::Mm>(0);
  CriuImage after(ImageKind::pagemap);
  after.append(before.entry<criu::PagemapHead>(0));
  auto vma = mm.vmas().begin();
  for (size_t i = 0; i < map.runs.size(); ++i) {
    if (map.runs[i].flags == PageRun::present)
      append_marked(after, map.runs[i], vma, mm.vmas().end());
    else
      after.append(before.entry<criu::PagemapEntry>(i + 1));
  }
  after.write(file);
}

}  // namespace

void mark_late_pages(const fs::path& images, const std::vector<ImageProcess>& processes) {
  for (const ImageProcess& process : processes)
    if (!process.zombie) mark(images, process.pid);
}

}  // namespace coldstart
