// SPDX-License-Identifier: Apache-2.0
// Pages as CRIU dumped them: pages-N.img holds the bytes of all runs of a pagemap that are present, in order.
// They are mapped, so that a page goes from the page cache into the process with one copy.

#include <algorithm>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/checkpoint/images.h"
#include "core/memory/page_source.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr unsigned deepest_parent = 64;  // incremental dumps upon each other; more is a loop
/// One pages file with the map of what is in it, and those it leaves pages to.
class Layer {
 public:
  Layer(const fs::path& folder, uint32_t pid, unsigned depth = 0)
      : map_(read_pagemap(folder / fmt::format("pagemap-{}.img", pid))),
        shown_((folder / fmt::format("pages-{}.img", map_.pages_id)).string()) {
    if (map_.bytes > 0) bytes_ = FileMapping(shown_);
    if (bytes_.bytes().size() < map_.bytes)
      throw Error::corrupt(
          fmt::format("{} is truncated: it has {} bytes of {}", shown_, bytes_.bytes().size(), map_.bytes));
    const fs::path parent = folder / "parent";
    std::error_code error;
    const bool has_parent = fs::exists(parent / fmt::format("pagemap-{}.img", pid), error);
    if (!has_parent && !error) return;
    if (error || depth >= deepest_parent)
      throw Error::corrupt(parent.string() + ": too many images upon each other");
    parent_ = std::make_unique<Layer>(parent, pid, depth + 1);
  }

  const std::vector<PageRun>& runs() const { return map_.runs; }
  const std::string& shown() const { return shown_; }

  /// Calls got(address, bytes) for all of [start, end), piece by piece.
  template <class Got>
  void resolve(uint64_t start, uint64_t end, const Got& got) const {
    while (start < end) {
      const PageRun& run = run_at(start);
      const uint64_t stop = std::min(end, run.start + run.pages * page_size);
      if (run.flags & PageRun::present) {
        got(start, bytes_.bytes().subspan(run.offset + (start - run.start), stop - start));
      } else if ((run.flags & PageRun::in_parent) && parent_) {
        parent_->resolve(start, stop, got);
      } else {
        throw Error::corrupt(fmt::format("{} lacks the page at {:#x}", shown_, start));
      }
      start = stop;
    }
  }

 private:
  const PageRun& run_at(uint64_t address) const {
    auto it = std::upper_bound(map_.runs.begin(), map_.runs.end(), address,
                               [](uint64_t a, const PageRun& run) { return a < run.start; });
    if (it == map_.runs.begin() || std::prev(it)->start + std::prev(it)->pages * page_size <= address)
      throw Error::corrupt(fmt::format("{} lacks the page at {:#x}", shown_, address));
    return *std::prev(it);
  }

  Pagemap map_;
  std::string shown_;
  FileMapping bytes_;
  std::unique_ptr<Layer> parent_;
};

class ImagePageSource final : public PageSource {
 public:
  ImagePageSource(const fs::path& folder, uint32_t pid) : layer_(folder, pid) {
    const fs::path mm_file = folder / fmt::format("mm-{}.img", pid);
    const auto mm = CriuImage::read(mm_file, ImageKind::mm).entry<criu::Mm>(0);
    auto vma = mm.vmas().begin();
    for (const PageRun& run : layer_.runs()) {
      if (!(run.flags & PageRun::lazy)) continue;
      const uint64_t end = run.start + run.pages * page_size;
      for (uint64_t at = run.start; at < end;) {
        while (vma != mm.vmas().end() && vma->end() <= at) ++vma;
        if (vma == mm.vmas().end() || vma->start() > at)
          throw Error::corrupt(fmt::format("{} has no mapping for the page at {:#x}", mm_file.string(), at));
        const uint64_t stop = std::min<uint64_t>(end, vma->end());
        layer_.resolve(at, stop, [&](uint64_t start, ByteSpan bytes) {
          pieces_.push_back({start, bytes.size(), start});
          bytes_.push_back(bytes.data());
        });
        at = stop;
      }
    }
    take_mappings(mm, mm_file.string());
  }

  ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan /*scratch*/) const override {
    const auto it = std::upper_bound(pieces_.begin(), pieces_.end(), image,
                                     [](uint64_t a, const Piece& piece) { return a < piece.start; });
    const auto i = static_cast<size_t>(it - pieces_.begin()) - 1;  // `image` is within a piece
    const std::byte* at = bytes_[i] + (image - pieces_[i].start);
    // Page tables for the whole view at once instead of by one fault a page, and reading errors told here.
    // Old kernels (before 5.14) lack the call: there the faults have to do.
    if (::madvise(const_cast<std::byte*>(at), size, 22 /* MADV_POPULATE_READ */) != 0 && errno != EINVAL)
      throw Error::sys(fmt::format("cannot read the pages at {:#x} from {}", image, layer_.shown()),
                       "the file was damaged or truncated after the restore began", Exit::corrupt);
    return {at, size};
  }

 private:
  Layer layer_;
  std::vector<const std::byte*> bytes_;  // of each of pieces_
};

class ImagePages final : public SnapshotPages {
 public:
  explicit ImagePages(fs::path folder) : folder_(std::move(folder)) {}
  std::shared_ptr<const PageSource> process(uint32_t pid) const override {
    return std::make_shared<ImagePageSource>(folder_, pid);
  }

 private:
  const fs::path folder_;
};

}  // namespace

std::unique_ptr<SnapshotPages> open_image_pages(const fs::path& folder) {
  return std::make_unique<ImagePages>(folder);
}

}  // namespace coldstart
