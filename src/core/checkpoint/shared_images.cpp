// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/shared_images.h"

#include <algorithm>
#include <map>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include "core/base/fd.h"
#include "core/base/files.h"
#include "core/checkpoint/early_places.h"
#include "core/checkpoint/images.h"
#include "core/checkpoint/pinned_list.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t page = 4096;
// Fewer bytes are not worth a mapping that does not merge with its neighbours.
constexpr uint64_t least_bytes = uint64_t{128} << 10;
// A mapping grows (mremap) within a slot of its own, so never into the pages of another or past the end.
constexpr uint64_t slot_bytes = uint64_t{1} << 40;
constexpr uint64_t most_bytes = slot_bytes / 4;
constexpr size_t most_mappings = 1 << 20;

constexpr uint32_t regular_file = 1;  // FD_TYPES of CRIU

bool is_plain(const criu::Vma& vma) {
  constexpr uint32_t needed_flags = MAP_PRIVATE | MAP_ANONYMOUS;
  constexpr uint64_t harmless = 1ULL << MADV_RANDOM | 1ULL << MADV_SEQUENTIAL | 1ULL << MADV_HUGEPAGE |
                                1ULL << MADV_NOHUGEPAGE | 1ULL << MADV_DONTDUMP;
  return (vma.status() & ~vma_heap) == (vma_regular | vma_anonymous_private) &&
         (vma.flags() & ~uint32_t{MAP_NORESERVE}) == needed_flags && (vma.madv() & ~harmless) == 0;
}

/// The bytes that lie in [start, end); 0 if any of them cannot come late.
uint64_t lazy_bytes(const Pagemap& map, uint64_t start, uint64_t end) {
  auto run = std::upper_bound(map.runs.begin(), map.runs.end(), start,
                              [](uint64_t a, const PageRun& r) { return a < r.start; });
  if (run != map.runs.begin()) --run;
  uint64_t bytes = 0;
  for (; run != map.runs.end() && run->start < end; ++run) {
    const uint64_t low = std::max(start, run->start);
    const uint64_t high = std::min(end, run->start + run->pages * page);
    if (low >= high) continue;
    if ((run->flags & PageRun::lazy) == 0) return 0;
    bytes += high - low;
  }
  return bytes;
}

bool is_zombie(const fs::path& images, uint32_t pid) {
  std::error_code failed;
  return !fs::exists(images / fmt::format("mm-{}.img", pid), failed);
}

CriuImage read_mm(const fs::path& folder, uint32_t pid) {
  return CriuImage::read(folder / fmt::format("mm-{}.img", pid), ImageKind::mm);
}

/// Makes the mappings of one process mappings of the file `id`.
void edit_mappings(const fs::path& folder, uint32_t pid, uint32_t id,
                   const std::vector<SharedMapping>& mappings) {
  CriuImage image = read_mm(folder, pid);
  auto mm = image.entry<criu::Mm>(0);
  auto next = mappings.begin();
  for (criu::Vma& vma : *mm.mutable_vmas()) {
    if (next == mappings.end()) break;
    if (vma.start() != next->start || vma.end() != next->end) continue;
    vma.set_pgoff(next->offset);
    vma.set_shmid(id);
    vma.set_flags(vma.flags() & ~uint32_t{MAP_ANONYMOUS});
    vma.set_status((vma.status() & ~vma_anonymous_private) | vma_file_private);
    vma.set_fdflags(O_RDONLY);
    ++next;
  }
  if (next != mappings.end())
    throw Error::corrupt(fmt::format("{} has no mapping at {:#x}", image.shown(), next->start));
  image.replace(0, mm);
  image.write(folder / fmt::format("mm-{}.img", pid));
}

/// Adds a file a process to files.img; gives their ids.
std::map<uint32_t, uint32_t> add_files(const fs::path& folder, const std::set<uint32_t>& pids) {
  CriuImage files = CriuImage::read(folder / "files.img", ImageKind::files);
  uint32_t id = 0;
  for (size_t i = 0; i < files.size(); ++i) id = std::max(id, files.entry<criu::File>(i).id());
  std::map<uint32_t, uint32_t> ids;
  for (const uint32_t pid : pids) {
    criu::File file;
    file.set_type(regular_file);
    file.set_id(++id);
    criu::RegularFile& reg = *file.mutable_reg();
    reg.set_id(id);
    reg.set_flags(O_RDONLY);
    reg.set_pos(0);
    reg.set_name("/" + shared_file_key(pid));
    criu::FileOwner& owner = *reg.mutable_fown();
    owner.set_uid(0);
    owner.set_euid(0);
    owner.set_signum(0);
    owner.set_pid_type(0);
    owner.set_pid(0);
    files.append(file);
    ids.emplace(pid, id);
  }
  files.write(folder / "files.img");
  return ids;
}

/// A pagemap without what is lazy, and its pages file with only what is left.
void drop_lazy_pages(const fs::path& from, const fs::path& to, const std::string& name) {
  const CriuImage all = CriuImage::read(from / name, ImageKind::pagemap);
  const Pagemap map = read_pagemap(from / name);
  const std::string pages = fmt::format("pages-{}.img", map.pages_id);
  CriuImage kept(ImageKind::pagemap);
  kept.append(all.entry<criu::PagemapHead>(0));
  const FileMapping bytes = map.bytes > 0 ? FileMapping(from / pages) : FileMapping();
  if (bytes.bytes().size() < map.bytes)
    throw Error::corrupt(fmt::format("{} is truncated", (from / pages).string()));
  const Fd out = open_file(to / pages, O_WRONLY | O_CREAT | O_TRUNC);
  for (size_t i = 0; i < map.runs.size(); ++i) {
    const PageRun& run = map.runs[i];
    if (run.flags & PageRun::lazy) continue;
    kept.append(all.entry<criu::PagemapEntry>(i + 1));
    if (run.flags & PageRun::present)
      write_full(out.get(), bytes.bytes().subspan(run.offset, run.pages * page));
  }
  kept.write(to / name);
}

}  // namespace

std::string shared_file_key(uint32_t pid) {
  return fmt::format("coldstart-memory-{}", pid);
}

std::vector<SharedMapping> choose_shared_mappings(const fs::path& images, bool pinned_wanted) {
  const CriuImage tree = CriuImage::read(images / "pstree.img", ImageKind::pstree);
  std::vector<SharedMapping> chosen;
  std::error_code none;
  if (fs::exists(images / "parent", none)) return chosen;  // an incremental dump: pages are elsewhere too
  const std::vector<PinnedMapping> pinned = read_pinned_list(images);
  uint64_t blocks = 0;
  for (size_t i = 0; i < tree.size(); ++i) {
    const auto process = tree.entry<criu::Process>(i);
    if (is_zombie(images, process.pid())) continue;
    const std::set<uint64_t> touched = early_places(images, process);
    const Pagemap map = read_pagemap(images / fmt::format("pagemap-{}.img", process.pid()));
    const auto mm = read_mm(images, process.pid()).entry<criu::Mm>(0);
    for (const criu::Vma& vma : mm.vmas()) {
      if (!is_plain(vma) || vma.end() <= vma.start() || vma.end() - vma.start() > most_bytes) continue;
      if (any_within(touched, vma.start(), vma.end())) continue;
      if (!pinned_wanted && is_pinned(pinned, process.pid(), vma.start())) continue;
      const uint64_t bytes = lazy_bytes(map, vma.start(), vma.end());
      if (bytes < least_bytes) continue;
      if (chosen.size() == most_mappings) return chosen;
      const uint64_t offset = chosen.size() * slot_bytes + vma.start() % huge_page_bytes;
      chosen.push_back({process.pid(), vma.start(), vma.end(), offset, bytes, blocks});
      blocks += blocks_of(chosen.back());
    }
  }
  return chosen;
}

void write_shared_images(const fs::path& images, const fs::path& to,
                         const std::vector<SharedMapping>& mappings) {
  const std::vector<PinnedMapping> pinned = read_pinned_list(images);
  std::map<uint32_t, std::vector<SharedMapping>> by_process;
  std::set<uint32_t> pids;
  for (const SharedMapping& m : mappings) {
    if (is_pinned(pinned, m.pid, m.start)) continue;
    by_process[m.pid].push_back(m);
    pids.insert(m.pid);
  }
  for (const auto& entry : fs::directory_iterator(images)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("pagemap-"))
      drop_lazy_pages(images, to, name);
    else if (!name.starts_with("pages-"))
      fs::copy_file(entry.path(), to / name);
  }
  const std::map<uint32_t, uint32_t> ids = add_files(to, pids);
  for (const auto& [pid, its] : by_process) edit_mappings(to, pid, ids.at(pid), its);
}

}  // namespace coldstart
