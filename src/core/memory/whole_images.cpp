// SPDX-License-Identifier: Apache-2.0
// Eager restores: CRIU fills the memory, so it gets pages files that hold all of it. What MemoryPacker took
// out of the images is put back.

#include <algorithm>

#include <fcntl.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/workers.h"
#include "core/memory/memory_content.h"
#include "core/memory/stored_pages.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t copied_at_once = uint64_t{1} << 20;

/// A run of the whole pagemap: its bytes are in the pages file as it is, or in the content.
struct WholeRun {
  PageRun run;
  bool from_content = false;
  uint64_t offset = 0;  // there
};

std::vector<WholeRun> merge(const Pagemap& kept, const ProcessMemory& memory) {
  std::vector<WholeRun> all;
  for (const PageRun& run : kept.runs)
    if (run.flags & PageRun::present) all.push_back({run, false, run.offset});
  for (const MemoryRun& run : memory.runs)
    all.push_back({{run.address, run.pages, PageRun::lazy | PageRun::present, 0},
                   true,
                   uint64_t{run.content} * page_size});
  std::sort(all.begin(), all.end(),
            [](const WholeRun& a, const WholeRun& b) { return a.run.start < b.run.start; });
  return all;
}

class WholeImages {
 public:
  WholeImages(MemoryContent& content, const fs::path& from, const fs::path& to, CancelToken& cancel)
      : content_(content), from_(from), to_(to), cancel_(cancel), workers_(default_jobs(), 16) {}

  void write(const ProcessMemory& memory) {
    const std::string name = fmt::format("pagemap-{}.img", memory.pid);
    const Pagemap kept = read_pagemap(from_ / name);
    CriuImage pagemap(ImageKind::pagemap);
    criu::PagemapHead head;
    head.set_pages_id(kept.pages_id);
    pagemap.append(head);
    const std::string pages_name = fmt::format("pages-{}.img", kept.pages_id);
    const FileMapping kept_pages(from_ / pages_name);
    if (kept_pages.bytes().size() < kept.bytes)
      throw Error::corrupt((from_ / pages_name).string() + " is truncated");
    const Fd pages = open_file(to_ / pages_name, O_WRONLY | O_CREAT | O_TRUNC);
    uint64_t at = 0;
    uint64_t end = 0;
    for (const WholeRun& whole : merge(kept, memory)) {
      if (whole.run.start < end)
        throw Error::corrupt(fmt::format("{}: its pages and the snapshot's memory overlap", name));
      end = whole.run.start + whole.run.pages * page_size;
      append_entry(pagemap, whole.run);
      const uint64_t bytes = whole.run.pages * page_size;
      if (whole.from_content)
        copy(pages.get(), at, whole.offset, bytes);
      else
        pwrite_full(pages.get(), kept_pages.bytes().subspan(whole.offset, bytes), static_cast<off_t>(at));
      at += bytes;
    }
    workers_.wait();
    pagemap.write(to_ / name);
  }

 private:
  static void append_entry(CriuImage& pagemap, const PageRun& run) {
    criu::PagemapEntry entry;
    entry.set_vaddr(run.start);
    // Old readers look at the first, new ones at the second.
    entry.set_compat_nr_pages(static_cast<uint32_t>(run.pages));
    entry.set_nr_pages(run.pages);
    entry.set_flags(run.flags);
    pagemap.append(entry);
  }

  void copy(int file, uint64_t at, uint64_t offset, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes; done += copied_at_once) {
      cancel_.check();
      const uint64_t n = std::min(copied_at_once, bytes - done);
      workers_.submit([this, file, to = at + done, from = offset + done, n] {
        Bytes scratch(content_.is_file() ? 0 : n);
        pwrite_full(file, content_.view(from, n, scratch), static_cast<off_t>(to));
      });
    }
  }

  MemoryContent& content_;
  const fs::path& from_;
  const fs::path& to_;
  CancelToken& cancel_;
  Workers workers_;
};

}  // namespace

void write_whole_images(const std::shared_ptr<Store>& store, const SnapshotManifest& snapshot,
                        const fs::path& images, const fs::path& folder, CancelToken& cancel) {
  const MemoryMap map = read_memory_map(*store, snapshot.memory);
  MemoryContent content(store, map, snapshot.memory.name());
  fs::copy(images, folder);
  WholeImages whole(content, images, folder, cancel);
  for (const ProcessMemory& memory : map.processes) whole.write(memory);
}

}  // namespace coldstart
