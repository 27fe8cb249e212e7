// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/memory_pack.h"

#include <map>
#include <unordered_map>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include "core/base/progress_task.h"
#include "core/checkpoint/late_pages.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t page = 4096;

// Chunks of 64 to 256 KiB, about 190 on average: small enough that a fault brings little that nobody asked
// for, large enough to compress about as well as the whole.
constexpr uint32_t least_pages = 16;
constexpr uint32_t most_pages = 64;
constexpr unsigned border_bits = 5;  // one page in 32 is a border

/// Whether a chunk may end behind this page. A sample of it decides; pages that are alike throughout (and so
/// give no border, or one each) only make chunks of the largest or the least size.
bool is_border(const std::byte* bytes) {
  uint64_t hash = 0;
  for (uint64_t at = 0; at < page; at += 256)
    hash = (hash ^ load<uint64_t>(bytes + at + (at >> 5))) * 0x9E3779B97F4A7C15U;
  return hash >> (64 - border_bits) == 0;
}

/// The same for equal parts of equal chunks, and never that of a chunk.
Digest name_of(const std::vector<FoundPages::Part>& parts) {
  Hasher hasher;
  for (const FoundPages::Part& part : parts) {
    hasher.update(std::as_bytes(std::span(part.digest->raw)));
    hasher.update(bytes_of(part.skip));
    hasher.update(bytes_of(part.bytes));
  }
  return hasher.finish();
}

bool is_late(const PageRun& run) {
  constexpr uint32_t both = PageRun::lazy | PageRun::present;
  return (run.flags & both) == both;
}

}  // namespace

MemoryPacker::MemoryPacker(fs::path images, const std::vector<ImageProcess>& processes)
    : images_(std::move(images)) {
  std::map<uint32_t, const ImageProcess*> by_pid;
  for (const ImageProcess& process : processes)
    if (!process.zombie) by_pid[process.pid] = &process;
  for (const auto& [pid, process] : by_pid) {
    Source source;
    source.pid = pid;
    source.pagemap = read_pagemap(images_ / fmt::format("pagemap-{}.img", pid));
    const fs::path file = images_ / fmt::format("pages-{}.img", source.pagemap.pages_id);
    if (source.pagemap.bytes > 0) source.pages = FileMapping(file);
    if (source.pages.bytes().size() < source.pagemap.bytes)
      throw Error::corrupt(file.string() + " is truncated");
    find_stretches(source);
    for (const Stretch& stretch : source.stretches) bytes_ += stretch.bytes.size();
    sources_.push_back(std::move(source));
  }
}

void MemoryPacker::find_stretches(Source& source) const {
  const fs::path file = images_ / fmt::format("mm-{}.img", source.pid);
  const auto mm = CriuImage::read(file, ImageKind::mm).entry<criu::Mm>(0);
  auto vma = mm.vmas().begin();
  for (const PageRun& run : source.pagemap.runs) {
    if (!is_late(run)) continue;
    const uint64_t end = run.start + run.pages * page;
    for (uint64_t at = run.start; at < end;) {
      while (vma != mm.vmas().end() && vma->end() <= at) ++vma;
      if (vma == mm.vmas().end() || vma->start() > at || !may_come_late(*vma))
        throw Error::corrupt(fmt::format("{} has no mapping for the page at {:#x}", file.string(), at));
      const uint64_t stop = std::min<uint64_t>(end, vma->end());
      const ByteSpan bytes = source.pages.bytes().subspan(run.offset + (at - run.start), stop - at);
      if (auto& all = source.stretches; !all.empty() && at != vma->start() &&
                                        all.back().address + all.back().bytes.size() == at &&
                                        all.back().bytes.data() + all.back().bytes.size() == bytes.data())
        all.back().bytes = {all.back().bytes.data(), all.back().bytes.size() + bytes.size()};
      else
        all.push_back({at, bytes});
      at = stop;
    }
  }
}

MemoryMap MemoryPacker::pack(PackWriter& writer, Operation& op, const std::vector<WeightsFile>& weights) {
  if (!weights.empty()) find_weights(weights, writer, op);
  const ProgressTask task(op.progress, "storing memory", bytes_);
  for (const Source& source : sources_) cut(source, writer, op);
  writer.flush();
  return map_of_cuts();
}

void MemoryPacker::find_weights(const std::vector<WeightsFile>& weights, PackWriter& writer, Operation& op) {
  uint64_t bytes = 0;
  for (const WeightsFile& file : weights)
    for (const WeightsFile::Cell& cell : file.cells) bytes += cell.bytes;
  const auto span = op.timeline.span("find weights");
  const ProgressTask task(op.progress, "finding weights", bytes);
  std::vector<ByteSpan> memory;
  for (const Source& source : sources_)
    for (const Stretch& stretch : source.stretches) memory.push_back(stretch.bytes);
  finder_.emplace(std::move(memory));
  for (const WeightsFile& file : weights) finder_->look_for(file, writer, op);
  weights_bytes_ = finder_->bytes();
}

void MemoryPacker::cut(const Source& source, PackWriter& writer, Operation& op) {
  Cut open{source.pid};
  Bytes content;
  const auto close = [&] {
    if (open.pages == 0) return;
    Cut& cut = cuts_.emplace_back(std::exchange(open, Cut{source.pid}));
    writer.put(std::exchange(content, {}), &cut.digest);
  };
  for (const Stretch& stretch : source.stretches) {
    bool is_inside = false;  // the page before this one was taken
    for (uint64_t at = 0; at < stretch.bytes.size(); at += page) {
      const ByteSpan bytes = stretch.bytes.subspan(at, page);
      op.progress.advance(page);
      if (const FoundPages* found = finder_ ? finder_->at(bytes.data()) : nullptr) {
        close();
        const uint64_t size = found->pages * page;
        cuts_.push_back({source.pid,
                         {{stretch.address + at, stretch.bytes.subspan(at, size)}},
                         is_inside,
                         found->parts,
                         {},
                         found->pages});
        op.progress.advance(size - page);
        at += size - page;
        is_inside = true;
        continue;
      }
      if (all_zero(bytes)) {
        is_inside = false;
        continue;
      }
      content.reserve(most_pages * page);
      append(content, bytes);
      if (open.pieces.empty()) open.goes_on = is_inside;
      if (is_inside && !open.pieces.empty())
        open.pieces.back().bytes = {open.pieces.back().bytes.data(), open.pieces.back().bytes.size() + page};
      else
        open.pieces.push_back({stretch.address + at, bytes});
      ++open.pages;
      is_inside = true;
      if (open.pages == most_pages || (open.pages >= least_pages && is_border(bytes.data()))) close();
    }
  }
  close();
}

/// Each chunk has its place in the content where it comes first. Runs that follow each other there too are
/// joined.
MemoryMap MemoryPacker::map_of_cuts() {
  MemoryMap map;
  std::unordered_map<Digest, uint64_t, DigestHash> places;
  uint64_t content_pages = 0;
  for (Cut& cut : cuts_) {
    if (!cut.parts.empty()) cut.digest = name_of(cut.parts);
    const auto [place, is_new] = places.try_emplace(cut.digest, content_pages);
    cut.is_first = is_new;
    if (is_new) {
      if (cut.parts.empty()) map.chunks.push_back({cut.digest, static_cast<uint32_t>(cut.pages * page)});
      for (const FoundPages::Part& part : cut.parts)
        map.chunks.push_back({*part.digest, part.bytes, part.skip});
      content_pages += cut.pages;
      if (content_pages > UINT32_MAX) throw Error("there is more memory than a snapshot can hold");
    }
    if (map.processes.empty() || map.processes.back().pid != cut.pid) map.processes.push_back({cut.pid, {}});
    auto& runs = map.processes.back().runs;
    auto at = static_cast<uint32_t>(place->second);
    for (size_t i = 0; i < cut.pieces.size(); ++i) {
      const auto pages = static_cast<uint32_t>(cut.pieces[i].bytes.size() / page);
      if (i == 0 && cut.goes_on && runs.back().content + runs.back().pages == at)
        runs.back().pages += pages;
      else
        runs.push_back({cut.pieces[i].address, at, pages});
      at += pages;
    }
  }
  return map;
}

void MemoryPacker::write_content(const fs::path& file, Operation& op) const {
  const Fd fd = open_file(file, O_WRONLY | O_CREAT | O_EXCL);
  for (const Cut& cut : cuts_) {
    op.cancel.check();
    if (!cut.is_first) continue;
    for (const Stretch& piece : cut.pieces) write_full(fd.get(), piece.bytes);
  }
}

void MemoryPacker::reduce_images() const {
  for (const Source& source : sources_) reduce(source);
}

/// The bytes that stay go to a new file, which takes the old one's name.
void MemoryPacker::reduce(const Source& source) const {
  const fs::path file = images_ / fmt::format("pagemap-{}.img", source.pid);
  const CriuImage before = CriuImage::read(file, ImageKind::pagemap);
  CriuImage after(ImageKind::pagemap);
  after.append(before.entry<criu::PagemapHead>(0));
  const fs::path pages = images_ / fmt::format("pages-{}.img", source.pagemap.pages_id);
  const fs::path fresh = pages.string() + ".new";
  {
    const Fd out = open_file(fresh, O_WRONLY | O_CREAT | O_EXCL);
    for (size_t i = 0; i < source.pagemap.runs.size(); ++i) {
      const PageRun& run = source.pagemap.runs[i];
      auto entry = before.entry<criu::PagemapEntry>(i + 1);
      if (is_late(run))
        entry.set_flags(PageRun::lazy);  // CRIU is to leave it to whoever has it
      else if (run.flags & PageRun::present)
        write_full(out.get(), source.pages.bytes().subspan(run.offset, run.pages * page));
      after.append(entry);
    }
  }
  check(::rename(fresh.c_str(), pages.c_str()), "cannot replace " + pages.string());
  after.write(file);
}

}  // namespace coldstart
