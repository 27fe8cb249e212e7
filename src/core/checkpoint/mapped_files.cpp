// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/mapped_files.h"

#include <algorithm>
#include <unordered_map>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/process_memory.h"
#include "core/checkpoint/images.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t page = 4096;
/// Pages in memory that are nearer to each other than this are told as one range.
constexpr uint64_t little = uint64_t{128} << 10;

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

  /// Ranges with no more than `gap` bytes between them become one.
  std::vector<MappedFile> take(uint64_t gap) {
    for (MappedFile& file : files_) file.wanted = merged(std::move(file.wanted), gap);
    return std::move(files_);
  }

 private:
  static std::vector<FileRange> merged(std::vector<FileRange> ranges, uint64_t gap) {
    std::sort(ranges.begin(), ranges.end(),
              [](const FileRange& a, const FileRange& b) { return a.offset < b.offset; });
    std::vector<FileRange> result;
    for (const FileRange& range : ranges) {
      if (!result.empty() && range.offset <= result.back().offset + result.back().bytes + gap)
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

/// Adds the pages of a mapping that are in the process's memory.
void add_present(int pagemap, const ProcessMapping& map, std::vector<FileRange>& wanted) {
  constexpr uint64_t present = uint64_t{1} << 63;
  std::vector<uint64_t> entries((map.range.end - map.range.start) / page);
  const ssize_t n = ::pread(pagemap, entries.data(), entries.size() * sizeof entries[0],
                            static_cast<off_t>(map.range.start / page * sizeof entries[0]));
  if (n < 0) return;
  entries.resize(static_cast<size_t>(n) / sizeof entries[0]);
  for (size_t i = 0; i < entries.size(); ++i)
    if ((entries[i] & present) != 0) wanted.push_back({map.offset + i * page, page});
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
  return found.take(0);
}

std::vector<MappedFile> files_in_memory(const std::vector<pid_t>& pids) {
  Found found;
  for (const pid_t pid : pids) {
    const Fd pagemap(::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC));
    if (!pagemap) continue;
    for (const ProcessMapping& map : file_mappings_of(pid))
      add_present(pagemap.get(), map, found.file(map.path).wanted);
  }
  std::vector<MappedFile> files = found.take(little);
  std::erase_if(files, [](const MappedFile& file) { return file.wanted.empty(); });
  return files;
}

void forget_files(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids) {
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    for (const ProcessMapping& map : file_mappings_of(pid)) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): an address in the other process
      const iovec all{reinterpret_cast<void*>(map.range.start), map.range.end - map.range.start};
      if (::syscall(SYS_process_madvise, process.get(), &all, 1, MADV_PAGEOUT, 0) < 0)
        log::debug("{}", Error::sys("cannot page out " + map.path).what());
    }
  }
}

}  // namespace coldstart
