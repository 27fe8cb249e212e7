// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/mapped_files.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include <fmt/format.h>

#include "core/checkpoint/images.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t page = 4096;

std::unordered_map<uint32_t, std::string> names_of_files(const fs::path& images) {
  std::unordered_map<uint32_t, std::string> names;
  const CriuImage files = CriuImage::read(images / "files.img", ImageKind::files);
  for (size_t i = 0; i < files.size(); ++i) {
    const auto file = files.entry<criu::File>(i);
    if (file.has_reg()) names.emplace(file.id(), file.reg().name());
  }
  return names;
}

/// The files, as they are found.
class Found {
 public:
  MappedFile& file(const std::string& path) {
    const auto [it, is_new] = index_.emplace(path, files_.size());
    if (is_new) files_.push_back({path, {}});
    return files_[it->second];
  }

  std::vector<MappedFile> take() {
    for (MappedFile& file : files_) file.wanted = merged(std::move(file.wanted));
    return std::move(files_);
  }

 private:
  static std::vector<FileRange> merged(std::vector<FileRange> ranges) {
    std::sort(ranges.begin(), ranges.end(),
              [](const FileRange& a, const FileRange& b) { return a.offset < b.offset; });
    std::vector<FileRange> result;
    for (const FileRange& range : ranges) {
      if (!result.empty() && range.offset <= result.back().offset + result.back().bytes)
        result.back().bytes =
            std::max(result.back().bytes, range.offset + range.bytes - result.back().offset);
      else
        result.push_back(range);
    }
    return result;
  }

  std::vector<MappedFile> files_;
  std::unordered_map<std::string, size_t> index_;
};

/// Adds what of the mapping's pages is in the images.
void add_pages(const Pagemap& map, const criu::Vma& vma, std::vector<FileRange>& wanted) {
  auto run = std::upper_bound(map.runs.begin(), map.runs.end(), vma.start(),
                              [](uint64_t a, const PageRun& r) { return a < r.start; });
  if (run != map.runs.begin()) --run;
  for (; run != map.runs.end() && run->start < vma.end(); ++run) {
    const uint64_t low = std::max<uint64_t>(vma.start(), run->start);
    const uint64_t high = std::min<uint64_t>(vma.end(), run->start + run->pages * page);
    if (low < high && (run->flags & PageRun::present) != 0)
      wanted.push_back({vma.pgoff() + (low - vma.start()), high - low});
  }
}

}  // namespace

std::vector<MappedFile> mapped_files(const fs::path& images) {
  const auto names = names_of_files(images);
  const CriuImage tree = CriuImage::read(images / "pstree.img", ImageKind::pstree);
  Found found;
  for (size_t i = 0; i < tree.size(); ++i) {
    const uint32_t pid = tree.entry<criu::Process>(i).pid();
    const fs::path mm = images / fmt::format("mm-{}.img", pid);
    std::error_code failed;
    if (!fs::exists(mm, failed)) continue;  // a zombie
    const Pagemap map = read_pagemap(images / fmt::format("pagemap-{}.img", pid));
    const auto memory = CriuImage::read(mm, ImageKind::mm).entry<criu::Mm>(0);
    for (const criu::Vma& vma : memory.vmas()) {
      if ((vma.status() & vma_file_private) == 0) continue;
      const auto name = names.find(static_cast<uint32_t>(vma.shmid()));
      if (name != names.end()) add_pages(map, vma, found.file(name->second).wanted);
    }
  }
  return found.take();
}

}  // namespace coldstart
