// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/images.h"

#include <set>

#include <fcntl.h>
#include <fmt/format.h>

#include "core/base/fd.h"
#include "core/base/files.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

// All but the inventory have this magic before their own.
constexpr uint32_t common_magic = 0x54564319;
// One entry, and one file: far above what CRIU writes, far below what hurts.
constexpr size_t entry_limit = size_t{64} << 20;
constexpr size_t file_limit = size_t{512} << 20;
constexpr uint64_t page = 4096;
constexpr uint64_t address_limit = uint64_t{1} << 57;

constexpr uint32_t state_dead = 2;
constexpr uint32_t state_zombie = 6;

uint32_t take_u32(ByteSpan& bytes, const std::string& shown) {
  if (bytes.size() < sizeof(uint32_t)) throw Error::corrupt(shown + " is truncated");
  const auto value = load<uint32_t>(bytes.data());
  bytes = bytes.subspan(sizeof value);
  return value;
}

}  // namespace

CriuImage CriuImage::read(const fs::path& file, ImageKind kind) {
  return parse(read_file(file, file_limit), kind, file.string());
}

CriuImage CriuImage::parse(ByteSpan bytes, ImageKind kind, const std::string& shown) {
  CriuImage image(kind);
  image.shown_ = shown;
  if (kind != ImageKind::inventory && take_u32(bytes, shown) != common_magic)
    throw Error::corrupt(shown + " is not a CRIU image");
  if (take_u32(bytes, shown) != static_cast<uint32_t>(kind))
    throw Error::corrupt(shown + " is not the CRIU image its name says");
  while (!bytes.empty()) {
    const uint32_t length = take_u32(bytes, shown);
    if (length > bytes.size()) throw Error::corrupt(shown + " is truncated");
    if (length > entry_limit) throw Error::corrupt(shown + " has an entry that is too large");
    image.entries_.emplace_back(as_text(bytes.first(length)));
    bytes = bytes.subspan(length);
  }
  return image;
}

void CriuImage::unpack(size_t i, google::protobuf::MessageLite& into) const {
  if (i >= entries_.size()) throw Error::corrupt(fmt::format("{} has no entry {}", shown_, i));
  if (!into.ParseFromString(entries_[i]))
    throw Error::corrupt(fmt::format("{}: entry {} cannot be read", shown_, i));
}

void CriuImage::append(const google::protobuf::MessageLite& message) {
  entries_.push_back(message.SerializeAsString());
}

void CriuImage::replace(size_t i, const google::protobuf::MessageLite& message) {
  entries_.at(i) = message.SerializeAsString();
}

std::string CriuImage::packed() const {
  std::string result;
  const auto add = [&](uint32_t value) { result += as_text(bytes_of(value)); };
  if (kind_ != ImageKind::inventory) add(common_magic);
  add(static_cast<uint32_t>(kind_));
  for (const std::string& entry : entries_) {
    add(static_cast<uint32_t>(entry.size()));
    result += entry;
  }
  return result;
}

void CriuImage::write(const fs::path& file) const {
  write_full(open_file(file, O_WRONLY | O_CREAT | O_TRUNC).get(), as_bytes(packed()));
}

Pagemap read_pagemap(const fs::path& file) {
  const CriuImage image = CriuImage::read(file, ImageKind::pagemap);
  const auto head = image.entry<criu::PagemapHead>(0);
  if (!head.has_pages_id()) throw Error::corrupt(file.string() + " names no pages file");
  Pagemap map;
  map.pages_id = head.pages_id();
  map.runs.reserve(image.size() - 1);
  uint64_t end = 0;
  for (size_t i = 1; i < image.size(); ++i) {
    const auto entry = image.entry<criu::PagemapEntry>(i);
    PageRun run;
    run.start = entry.vaddr();
    run.pages = entry.has_nr_pages() ? entry.nr_pages() : entry.compat_nr_pages();
    run.flags = entry.has_flags() ? entry.flags() : entry.in_parent() ? PageRun::in_parent : PageRun::present;
    run.offset = map.bytes;
    if (run.start % page != 0 || run.start < end || run.start > address_limit || run.pages == 0 ||
        run.pages > (address_limit - run.start) / page)
      throw Error::corrupt(fmt::format("{}: entry {} is out of order or range", file.string(), i));
    end = run.start + run.pages * page;
    if (run.flags & PageRun::present) map.bytes += run.pages * page;
    map.runs.push_back(run);
  }
  return map;
}

namespace {

/// The bytes a pagemap says are present; its pages file must have them.
uint64_t present_bytes(const fs::path& pagemap) {
  const Pagemap map = read_pagemap(pagemap);
  const fs::path pages = pagemap.parent_path() / fmt::format("pages-{}.img", map.pages_id);
  std::error_code failed;
  const uint64_t size = fs::file_size(pages, failed);
  if (map.bytes > 0 && (failed || size < map.bytes))
    throw Error::corrupt(
        fmt::format("{} is missing or shorter than {} says", pages.string(), pagemap.filename().string()));
  return map.bytes;
}

ImageProcess read_process(const fs::path& folder, const criu::Process& entry) {
  ImageProcess process;
  process.pid = entry.pid();
  process.parent = entry.ppid();
  process.threads = static_cast<uint32_t>(entry.threads_size());
  const auto core =
      CriuImage::read(folder / fmt::format("core-{}.img", entry.pid()), ImageKind::core).entry<criu::Core>(0);
  process.name = core.tc().comm();
  process.zombie = core.tc().task_state() == state_dead || core.tc().task_state() == state_zombie;
  const fs::path pagemap = folder / fmt::format("pagemap-{}.img", entry.pid());
  if (!process.zombie) process.memory_bytes = present_bytes(pagemap);
  return process;
}

}  // namespace

uint64_t ImagesSummary::memory_bytes() const {
  uint64_t sum = shared_bytes;
  for (const ImageProcess& p : processes) sum += p.memory_bytes;
  return sum;
}

ImagesSummary summarize_images(const fs::path& folder) {
  if (!CriuImage::read(folder / "inventory.img", ImageKind::inventory)
           .entry<criu::Inventory>(0)
           .img_version())
    throw Error::corrupt((folder / "inventory.img").string() + " has no version");
  const CriuImage tree = CriuImage::read(folder / "pstree.img", ImageKind::pstree);
  if (tree.size() == 0) throw Error::corrupt(tree.shown() + " has no process");
  ImagesSummary summary;
  std::set<uint32_t> seen;
  for (size_t i = 0; i < tree.size(); ++i) {
    const auto entry = tree.entry<criu::Process>(i);
    if (entry.pid() == 0 || !seen.insert(entry.pid()).second)
      throw Error::corrupt(fmt::format("{}: entry {} has no pid of its own", tree.shown(), i));
    summary.processes.push_back(read_process(folder, entry));
  }
  for (const auto& file : fs::directory_iterator(folder))
    if (file.path().filename().string().starts_with("pagemap-shmem-"))
      summary.shared_bytes += present_bytes(file.path());
  return summary;
}

}  // namespace coldstart
