// SPDX-License-Identifier: Apache-2.0
#include "core/memory/working_set.h"

#include <array>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr std::array<char, 8> magic = {'c', 's', 'w', 'r', 'k', 's', 'e', 't'};
constexpr uint32_t version = 1;
constexpr size_t most_bytes = size_t{256} << 20;
constexpr uint64_t address_limit = uint64_t{1} << 57;

struct Header {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t ranges;
};
static_assert(sizeof(Header) == 16 && sizeof(PageRange) == 16);

fs::path folder_of(const fs::path& store_root) {
  return store_root / "working-sets";
}

/// Notes what is read of the pages of one process.
class RecordedSource final : public PageSource {
 public:
  RecordedSource(std::shared_ptr<const PageSource> pages, uint32_t pid, std::shared_ptr<WorkingSetLog> log)
      : source_(std::move(pages)), pid_(pid), log_(std::move(log)) {
    pieces_ = source_->pieces();
    mappings_ = source_->mappings();
    not_inherited_ = source_->not_inherited();
  }
  ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan scratch) const override {
    log_->add(pid_, image, size);
    return source_->view(image, size, scratch);
  }

 private:
  const std::shared_ptr<const PageSource> source_;
  const uint32_t pid_;
  const std::shared_ptr<WorkingSetLog> log_;
};

class RecordedPages final : public SnapshotPages {
 public:
  RecordedPages(std::unique_ptr<SnapshotPages> pages, std::shared_ptr<WorkingSetLog> log)
      : pages_(std::move(pages)), log_(std::move(log)) {}
  std::shared_ptr<const PageSource> process(uint32_t pid) const override {
    return std::make_shared<RecordedSource>(pages_->process(pid), pid, log_);
  }
  bool is_far() const override { return pages_->is_far(); }
  void prefetch(const std::vector<PageRange>& first, const std::function<bool()>& stop,
                const Arrived& arrived) const override {
    pages_->prefetch(first, stop, arrived);
  }

 private:
  const std::unique_ptr<SnapshotPages> pages_;
  const std::shared_ptr<WorkingSetLog> log_;
};

}  // namespace

uint64_t WorkingSet::bytes() const {
  uint64_t sum = 0;
  for (const PageRange& range : ranges) sum += range.bytes();
  return sum;
}

Bytes WorkingSet::pack() const {
  const Header header{magic, version, static_cast<uint32_t>(ranges.size())};
  Bytes bytes(sizeof header + ranges.size() * sizeof(PageRange));
  std::memcpy(bytes.data(), &header, sizeof header);
  if (!ranges.empty())
    std::memcpy(bytes.data() + sizeof header, ranges.data(), ranges.size() * sizeof(PageRange));
  return bytes;
}

WorkingSet WorkingSet::parse(ByteSpan bytes, const std::string& document) {
  const auto wrong = [&](const char* what) { return Error::corrupt(document + " " + what); };
  if (bytes.size() < sizeof(Header)) throw wrong("is truncated");
  const auto header = load<Header>(bytes.data());
  if (header.magic != magic) throw wrong("is no working set");
  if (header.version != version) throw wrong("has another version");
  bytes = bytes.subspan(sizeof header);
  if (bytes.size() != uint64_t{header.ranges} * sizeof(PageRange))
    throw wrong("has not the size that its header says");
  WorkingSet set;
  set.ranges.resize(header.ranges);
  if (!bytes.empty()) std::memcpy(set.ranges.data(), bytes.data(), bytes.size());
  for (const PageRange& range : set.ranges)
    if (range.pages == 0 || range.address % page_size != 0 || range.address > address_limit)
      throw wrong("has a range that is none");
  return set;
}

fs::path working_set_file(const fs::path& store_root, const Digest& snapshot) {
  return folder_of(store_root) / snapshot.hex();
}

std::optional<WorkingSet> read_working_set(const fs::path& store_root, const Digest& snapshot) {
  const fs::path file = working_set_file(store_root, snapshot);
  std::error_code absent;
  if (!fs::exists(file, absent)) return std::nullopt;
  try {
    return WorkingSet::parse(read_file(file, most_bytes), file.string());
  } catch (const Error& e) {
    log::warn("{}; the next restore records it again", e.message());
    return std::nullopt;
  }
}

void write_working_set(Store& store, const Digest& snapshot, const WorkingSet& set) {
  make_folders(folder_of(store.root()));
  for (const auto& file : fs::directory_iterator(folder_of(store.root())))
    if (const auto digest = Digest::parse(file.path().filename().string()); digest && !store.has(*digest)) {
      std::error_code another_was_faster;
      fs::remove(file.path(), another_was_faster);
    }
  write_file_atomic(working_set_file(store.root(), snapshot), set.pack());
}

void WorkingSetLog::add(uint32_t pid, uint64_t address, uint64_t bytes) {
  const auto pages = static_cast<uint32_t>(bytes / page_size);
  const std::lock_guard lock(mutex_);
  if (auto& all = set_.ranges;
      !all.empty() && all.back().pid == pid && all.back().address + all.back().bytes() == address)
    all.back().pages += pages;
  else
    all.push_back({address, pid, pages});
}

WorkingSet WorkingSetLog::so_far() const {
  const std::lock_guard lock(mutex_);
  return set_;
}

std::unique_ptr<SnapshotPages> record_reads(std::unique_ptr<SnapshotPages> pages,
                                            std::shared_ptr<WorkingSetLog> log) {
  return std::make_unique<RecordedPages>(std::move(pages), std::move(log));
}

}  // namespace coldstart
