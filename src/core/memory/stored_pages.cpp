// SPDX-License-Identifier: Apache-2.0
#include "core/memory/stored_pages.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/memory/memory_content.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

class StoredPageSource final : public PageSource {
 public:
  StoredPageSource(const fs::path& images, uint32_t pid, const ProcessMemory* memory,
                   std::shared_ptr<MemoryContent> content)
      : pid_(pid), content_(std::move(content)) {
    const fs::path mm_file = images / fmt::format("mm-{}.img", pid);
    take_mappings(CriuImage::read(mm_file, ImageKind::mm).entry<criu::Mm>(0), mm_file.string());
    if (memory == nullptr) return;
    runs_ = memory->runs;
    auto mapping = mappings_.begin();
    for (const MemoryRun& run : runs_) {
      const Piece piece{run.address, uint64_t{run.pages} * page_size, run.address};
      while (mapping != mappings_.end() && mapping->end() <= piece.start) ++mapping;
      if (mapping == mappings_.end() || mapping->start > piece.start || mapping->end() < piece.end())
        throw Error::corrupt(
            fmt::format("{} has no mapping for the pages at {:#x}", mm_file.string(), piece.start));
      pieces_.push_back(piece);
    }
  }

  ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan scratch) const override {
    const auto it = std::upper_bound(runs_.begin(), runs_.end(), image,
                                     [](uint64_t a, const MemoryRun& run) { return a < run.address; });
    const MemoryRun& run = *std::prev(it);  // `image` is within a piece
    const uint64_t offset = uint64_t{run.content} * page_size + (image - run.address);
    try {
      return content_->view(offset, size, scratch);
    } catch (const Error& e) {
      throw e.in(fmt::format("the memory of process {} at {:#x} cannot be restored", pid_, image));
    }
  }

 private:
  const uint32_t pid_;
  const std::shared_ptr<MemoryContent> content_;
  std::vector<MemoryRun> runs_;
};

class StoredPages final : public SnapshotPages {
 public:
  StoredPages(const std::shared_ptr<Store>& store, const SnapshotManifest& snapshot, fs::path images)
      : images_(std::move(images)), map_(read_memory_map(*store, snapshot.memory)) {
    content_ = std::make_shared<MemoryContent>(store, map_, snapshot.memory.name());
  }

  std::shared_ptr<const PageSource> process(uint32_t pid) const override {
    return std::make_shared<StoredPageSource>(images_, pid, map_.process(pid), content_);
  }

  bool is_far() const override { return content_->is_far(); }

  void prefetch(const std::vector<PageRange>& first, const std::function<bool()>& stop,
                const Arrived& arrived) const override {
    std::vector<MemoryContent::Extent> extents;
    for (const PageRange& range : first) {
      const ProcessMemory* process = map_.process(range.pid);
      if (process == nullptr) continue;
      const uint64_t end = range.address + range.bytes();
      auto run = std::upper_bound(process->runs.begin(), process->runs.end(), range.address,
                                  [](uint64_t a, const MemoryRun& r) { return a < r.address; });
      if (run != process->runs.begin()) --run;
      for (; run != process->runs.end() && run->address < end; ++run) {
        const uint64_t low = std::max(range.address, run->address);
        const uint64_t high = std::min(end, run->address + uint64_t{run->pages} * page_size);
        if (low < high)
          extents.push_back({uint64_t{run->content} * page_size + (low - run->address), high - low});
      }
    }
    content_->prefetch(extents, stop, [&](const std::vector<MemoryContent::Extent>& near) {
      std::vector<PageRange> ranges;
      for (const MemoryContent::Extent& extent : near) add_places(extent, ranges);
      arrived(ranges);
    });
  }

 private:
  /// Where pages of the content are in the processes.
  void add_places(const MemoryContent::Extent& extent, std::vector<PageRange>& to) const {
    const uint64_t first = extent.offset / page_size;
    const uint64_t end =
        (extent.offset + extent.bytes) / page_size;  // what ends in another part comes with that
    for (const ProcessMemory& process : map_.processes)
      for (const MemoryRun& run : process.runs) {
        const uint64_t low = std::max<uint64_t>(first, run.content);
        const uint64_t high = std::min(end, uint64_t{run.content} + run.pages);
        if (low < high)
          to.push_back({run.address + (low - run.content) * page_size, process.pid,
                        static_cast<uint32_t>(high - low)});
      }
  }

  const fs::path images_;
  const MemoryMap map_;
  std::shared_ptr<MemoryContent> content_;
};

}  // namespace

std::unique_ptr<SnapshotPages> open_stored_pages(const std::shared_ptr<Store>& store,
                                                 const SnapshotManifest& snapshot, const fs::path& images) {
  return std::make_unique<StoredPages>(store, snapshot, images);
}

}  // namespace coldstart
