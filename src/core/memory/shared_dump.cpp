// SPDX-License-Identifier: Apache-2.0
#include "core/memory/shared_dump.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/files.h"
#include "core/base/process_tree.h"
#include "core/checkpoint/images.h"
#include "core/memory/memory_tier.h"
#include "core/memory/pending_pages.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t most_read_at_once = size_t{1} << 20;

/// As /proc/PID/maps shows a file: "00:1c 1234".
std::string shown_in_maps(const struct stat& st) {
  return fmt::format("{:02x}:{:02x} {}", major(st.st_dev), minor(st.st_dev), st.st_ino);
}

/// The mount that CRIU will find the mapped file in. `range` as in /proc/PID/maps.
int mount_of(pid_t pid, const std::string& range) {
  const uint64_t start = std::stoull(range, nullptr, 16);
  const uint64_t end = std::stoull(range.substr(range.find('-') + 1), nullptr, 16);
  const Fd file = open_file(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, start, end), O_PATH);
  std::ifstream info(fmt::format("/proc/self/fdinfo/{}", file.get()));
  for (std::string word; info >> word;)
    if (int id = 0; word == "mnt_id:" && info >> id) return id;
  throw Error(fmt::format("cannot find the mount of a mapping of process {}", pid));
}

/// Anonymous private memory again, as CRIU would have dumped it.
void make_anonymous(criu::Vma& vma) {
  vma.set_status((vma.status() & ~vma_file_private) | vma_anonymous_private);
  vma.set_flags(vma.flags() | MAP_ANONYMOUS);
  vma.set_shmid(0);
  vma.set_pgoff(0);
  vma.clear_fdflags();
}

/// One process: writes its pages anew, CRIU's and those that it left out.
class PagesEditor {
 public:
  PagesEditor(const fs::path& images, uint32_t pid, pid_t host_pid)
      : pagemap_(images / fmt::format("pagemap-{}.img", pid)),
        old_(CriuImage::read(pagemap_, ImageKind::pagemap)),
        map_(read_pagemap(pagemap_)),
        pages_(images / fmt::format("pages-{}.img", map_.pages_id)),
        new_(ImageKind::pagemap),
        host_pid_(host_pid),
        buffer_(most_read_at_once) {
    if (map_.bytes > 0) bytes_ = FileMapping(pages_);
    new_.append(old_.entry<criu::PagemapHead>(0));
    out_ = open_file(pages_.string() + ".new", O_WRONLY | O_CREAT | O_TRUNC);
  }

  /// Copies what CRIU dumped of [.., until).
  void copy(uint64_t until) {
    while (next_ < map_.runs.size() && next_page() < until) copy_run(until);
  }

  /// Takes all of a mapping: what CRIU dumped, and between that what `file` has at `offset` and the process
  /// still has.
  void take(uint64_t start, uint64_t end, const Fd& file, uint64_t offset) {
    copy(start);
    lazy_ = true;
    uint64_t at = start;
    while (next_ < map_.runs.size() && next_page() < end) {
      read(at, next_page(), file, offset + (at - start));
      at = copy_run(end);
    }
    read(at, end, file, offset + (at - start));
    lazy_ = false;
  }

  void finish() {
    copy(UINT64_MAX);
    flush();
    new_.write(pagemap_);
    out_.reset();
    fs::rename(pages_.string() + ".new", pages_);
  }

 private:
  uint64_t next_page() const { return map_.runs[next_].start + copied_ * page_size; }

  /// What is left of the next run, up to `until`: a run of CRIU may go over the border of two mappings. Gives
  /// where the part ends.
  uint64_t copy_run(uint64_t until) {
    const PageRun& run = map_.runs[next_];
    const uint64_t start = next_page();
    const uint64_t pages = std::min(run.pages - copied_, (until - start) / page_size);
    add(start, pages, run.flags | (lazy_ ? PageRun::lazy : 0));
    if ((run.flags & PageRun::present) != 0)
      write_full(out_.get(), bytes_.bytes().subspan(run.offset + copied_ * page_size, pages * page_size));
    copied_ += pages;
    if (copied_ == run.pages) {
      ++next_;
      copied_ = 0;
    }
    return start + pages * page_size;
  }

  /// [start, end) as the process has it, where the file has anything at all.
  void read(uint64_t start, uint64_t end, const Fd& file, uint64_t offset) {
    const auto size = static_cast<off_t>(end - start);
    const auto base = static_cast<off_t>(offset);
    for (off_t data = base; start < end;) {
      data = ::lseek(file.get(), data, SEEK_DATA);
      if (data < 0 && errno != ENXIO) throw Error::sys("cannot look into shared memory");
      if (data < 0 || data >= base + size) return;
      const off_t hole = std::min(
          check(::lseek(file.get(), data, SEEK_HOLE), "cannot look into shared memory"), base + size);
      read_process(start + static_cast<uint64_t>(data - base), start + static_cast<uint64_t>(hole - base));
      data = hole;
    }
  }

  void read_process(uint64_t at, uint64_t end) {
    while (at < end) {
      const size_t size = std::min<uint64_t>(end - at, buffer_.size());
      iovec into{buffer_.data(), size};
      // NOLINTNEXTLINE(performance-no-int-to-ptr): an address in the other process
      iovec from{reinterpret_cast<void*>(at), size};
      const ssize_t n = ::process_vm_readv(host_pid_, &into, 1, &from, 1, 0);
      if (n != static_cast<ssize_t>(size))
        throw Error::sys(fmt::format("cannot read the memory of process {} at {:#x}", host_pid_, at));
      for (size_t i = 0; i < size; i += page_size) {
        const ByteSpan one(buffer_.data() + i, page_size);
        if (all_zero(one)) continue;  // discarded
        add(at + i, 1, PageRun::present | PageRun::lazy);
        write_full(out_.get(), one);
      }
      at += size;
    }
  }

  /// Neighbours become one run.
  void add(uint64_t start, uint64_t pages, uint32_t flags) {
    if (run_.pages > 0 && run_.start + run_.pages * page_size == start && run_.flags == flags) {
      run_.pages += pages;
      return;
    }
    flush();
    run_ = {start, pages, flags, 0};
  }
  void flush() {
    if (run_.pages == 0) return;
    criu::PagemapEntry entry;
    entry.set_vaddr(run_.start);
    entry.set_compat_nr_pages(static_cast<uint32_t>(run_.pages));
    entry.set_nr_pages(run_.pages);
    entry.set_flags(run_.flags);
    new_.append(entry);
    run_.pages = 0;
  }

  const fs::path pagemap_;
  const CriuImage old_;
  const Pagemap map_;
  const fs::path pages_;
  CriuImage new_;
  const pid_t host_pid_;
  Bytes buffer_;
  FileMapping bytes_;
  Fd out_;
  PageRun run_;
  size_t next_ = 0;      // of map_.runs
  uint64_t copied_ = 0;  // pages of it
  bool lazy_ = false;
};

}  // namespace

SharedDump::SharedDump(const MemoryTier& tier, pid_t root) {
  std::map<std::string, fs::path> known;
  for (const fs::path& folder : tier.folders()) {
    struct stat st {};
    if (::stat((folder / "pages").c_str(), &st) == 0) known.emplace(shown_in_maps(st), folder);
  }
  if (known.empty()) return;
  for (const pid_t pid : process_tree(root)) {
    std::ifstream maps(fmt::format("/proc/{}/maps", pid));
    for (std::string line; std::getline(maps, line);) {
      std::istringstream words(line);
      std::string range, rights, offset, device, inode;
      words >> range >> rights >> offset >> device >> inode;
      const auto copy = known.find(fmt::format("{} {}", device, inode));
      if (copy == known.end()) continue;
      const std::string name = fmt::format("file[{:x}:{:x}]", mount_of(pid, range), std::stoull(inode));
      if (copies_.emplace(name, copy->second).second) external_.push_back(name);
    }
  }
}

void SharedDump::unshare(const fs::path& images, pid_t root) const {
  if (empty()) return;
  // What CRIU numbered our files; they are not among the files any more.
  std::map<uint64_t, Fd> files;
  const CriuImage all = CriuImage::read(images / "files.img", ImageKind::files);
  CriuImage others(ImageKind::files);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto file = all.entry<criu::File>(i);
    if (const auto copy = copies_.find(file.reg().name()); copy != copies_.end())
      files.emplace(file.id(), open_file(copy->second / "pages", O_RDONLY));
    else
      others.append(file);
  }
  for (const pid_t host_pid : process_tree(root)) {
    const auto pid = static_cast<uint32_t>(inner_pid_of(host_pid));
    const fs::path mm_file = images / fmt::format("mm-{}.img", pid);
    if (!fs::exists(mm_file)) continue;  // a zombie
    CriuImage image = CriuImage::read(mm_file, ImageKind::mm);
    auto mm = image.entry<criu::Mm>(0);
    PagesEditor pages(images, pid, host_pid);
    for (criu::Vma& vma : *mm.mutable_vmas()) {
      const auto file = files.find(vma.shmid());
      if ((vma.status() & vma_file_private) == 0 || file == files.end()) continue;
      pages.take(vma.start(), vma.end(), file->second, vma.pgoff());
      make_anonymous(vma);
    }
    pages.finish();
    image.replace(0, mm);
    image.write(mm_file);
  }
  others.write(images / "files.img");
}

}  // namespace coldstart
