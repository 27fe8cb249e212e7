// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pinned_mappings.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <sys/mman.h>

#include "core/base/log.h"
#include "core/checkpoint/early_places.h"
#include "core/checkpoint/images.h"
#include "core/checkpoint/late_pages.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// Of one process: takes those out of `wanted` that its images do not have, or that are touched early.
void ask_for_huge_pages(const fs::path& images, const criu::Process& process,
                        std::vector<PinnedMapping>& wanted) {
  const fs::path file = images / fmt::format("mm-{}.img", process.pid());
  std::error_code failed;
  if (!fs::exists(file, failed)) return wanted.clear();  // it has ended meanwhile
  const std::set<uint64_t> touched = early_places(images, process);
  CriuImage image = CriuImage::read(file, ImageKind::mm);
  auto mm = image.entry<criu::Mm>(0);
  std::vector<PinnedMapping> there;
  for (criu::Vma& vma : *mm.mutable_vmas()) {
    const PinnedMapping mapping{process.pid(), vma.start(), vma.end()};
    if (std::find(wanted.begin(), wanted.end(), mapping) == wanted.end()) continue;
    if (!is_ordinary(vma) || any_within(touched, vma.start(), vma.end())) continue;
    there.push_back(mapping);
    vma.set_madv((vma.madv() & ~(uint64_t{1} << MADV_NOHUGEPAGE)) | uint64_t{1} << MADV_HUGEPAGE);
  }
  if (there.size() < wanted.size())
    log::info("{} of {} mappings with device memory come like all others", wanted.size() - there.size(),
              wanted.size());
  wanted = std::move(there);
  if (wanted.empty()) return;
  image.replace(0, mm);
  image.write(file);
}

}  // namespace

void keep_pinned_mappings(const fs::path& images, const std::vector<PinnedMapping>& mappings) {
  if (mappings.empty()) return;
  std::map<uint32_t, std::vector<PinnedMapping>> by_process;
  for (const PinnedMapping& mapping : mappings) by_process[mapping.pid].push_back(mapping);
  const CriuImage tree = CriuImage::read(images / "pstree.img", ImageKind::pstree);
  std::vector<PinnedMapping> kept;
  for (size_t i = 0; i < tree.size(); ++i) {
    const auto process = tree.entry<criu::Process>(i);
    const auto its = by_process.find(process.pid());
    if (its == by_process.end()) continue;
    ask_for_huge_pages(images, process, its->second);
    kept.insert(kept.end(), its->second.begin(), its->second.end());
  }
  if (!kept.empty()) write_pinned_list(images, kept);
}

}  // namespace coldstart
