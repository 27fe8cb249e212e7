// SPDX-License-Identifier: Apache-2.0
#include "core/memory/shared_pages.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <limits>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/workers.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

// The layout is this number, then the mappings, as they are in memory: it never outlives a boot.
constexpr uint64_t layout_magic = 0x31656d6568735343;
constexpr size_t most_waiting = 256;                     // jobs
constexpr uint64_t filled_at_once = uint64_t{16} << 20;  // a multiple of shared_block_bytes
constexpr size_t layout_limit = size_t{64} << 20;

enum BlockState : uint8_t { absent = 0, filling = 1, present = 2 };

uint64_t blocks_in(const std::vector<SharedMapping>& mappings) {
  return mappings.empty() ? 0 : mappings.back().first_block + blocks_of(mappings.back());
}

std::vector<SharedMapping> read_layout(const fs::path& file) {
  const Bytes bytes = read_file(file, layout_limit);
  if (bytes.size() < sizeof layout_magic || load<uint64_t>(bytes.data()) != layout_magic ||
      (bytes.size() - sizeof layout_magic) % sizeof(SharedMapping) != 0)
    throw Error::corrupt(file.string() + " is no layout of shared memory");
  std::vector<SharedMapping> mappings;
  for (size_t at = sizeof layout_magic; at < bytes.size(); at += sizeof(SharedMapping))
    mappings.push_back(load<SharedMapping>(bytes.data() + at));
  return mappings;
}

/// False if there is no room for it.
bool write_pages(const Fd& file, ByteSpan bytes, uint64_t at) {
  try {
    pwrite_full(file.get(), bytes, static_cast<off_t>(at));
    return true;
  } catch (const Error& e) {
    if (e.error_number() == ENOSPC || e.error_number() == ENOMEM || e.error_number() == EDQUOT) return false;
    throw;
  }
}

/// Of `pieces`, the first that ends behind `image`.
auto first_behind(const std::vector<Piece>& pieces, uint64_t image) {
  return std::partition_point(pieces.begin(), pieces.end(), [&](const Piece& p) { return p.end() <= image; });
}

}  // namespace

void SharedPages::create(const fs::path& folder, const std::vector<SharedMapping>& mappings) {
  Bytes layout;
  append(layout, bytes_of(layout_magic));
  for (const SharedMapping& m : mappings) append(layout, bytes_of(m));
  write_full(open_file(folder / "layout", O_WRONLY | O_CREAT | O_EXCL).get(), layout);
  const auto make = [&](const char* name, uint64_t size) {
    const Fd file = open_file(folder / name, O_WRONLY | O_CREAT | O_EXCL);
    check(::ftruncate(file.get(), static_cast<off_t>(size)), "cannot size " + (folder / name).string());
  };
  // As large as a file can be: whatever a mapping grows to, it is within the file.
  make("pages", uint64_t{std::numeric_limits<off_t>::max()} & ~(page_size - 1));
  make("present", blocks_in(mappings));
}

SharedPages::SharedPages(const fs::path& folder)
    : mappings_(read_layout(folder / "layout")),
      pinned_(read_pinned_list(folder / "images")),
      pages_(open_file(folder / "pages", O_RDWR)),
      blocks_(blocks_in(mappings_)) {
  const Fd table = open_file(folder / "present", O_RDWR);
  struct stat st {};
  check(::fstat(table.get(), &st), "cannot stat " + (folder / "present").string());
  if (static_cast<uint64_t>(st.st_size) != blocks_)
    throw Error::corrupt((folder / "present").string() + " does not fit its layout");
  if (blocks_ == 0) return;
  void* at = ::mmap(nullptr, blocks_, PROT_READ | PROT_WRITE, MAP_SHARED, table.get(), 0);
  if (at == MAP_FAILED) throw Error::sys("cannot map " + (folder / "present").string());
  present_ = static_cast<uint8_t*>(at);
}

SharedPages::~SharedPages() {
  if (present_ != nullptr) ::munmap(present_, blocks_);
}

std::vector<uint32_t> SharedPages::pids() const {
  std::vector<uint32_t> result;
  for (const SharedMapping& m : mappings_)
    if (!is_pinned(m) && (result.empty() || result.back() != m.pid)) result.push_back(m.pid);
  return result;
}

std::atomic_ref<uint8_t> SharedPages::block(uint64_t index) const {
  return std::atomic_ref<uint8_t>(present_[index]);
}

bool SharedPages::has_blocks(uint64_t first, uint64_t count) const {
  for (uint64_t i = first; i < first + count; ++i)
    if (block(i).load(std::memory_order_acquire) != present) return false;
  return true;
}

bool SharedPages::has(const SharedMapping& m, uint64_t image, uint64_t size) const {
  const uint64_t first = (image - m.start) / shared_block_bytes;
  const uint64_t last = (image + size - 1 - m.start) / shared_block_bytes;
  return has_blocks(m.first_block + first, last - first + 1);
}

bool SharedPages::full() const {
  return has_blocks(0, blocks_);
}

/// When this goes, whoever waits for a block looks at it again.
class SharedPages::BlockEnd {
 public:
  BlockEnd(SharedPages& pages, uint64_t index) : pages_(pages), index_(index) {}
  BlockEnd(const BlockEnd&) = delete;
  BlockEnd& operator=(const BlockEnd&) = delete;
  ~BlockEnd() {
    {
      const std::lock_guard lock(pages_.mutex_);
      pages_.filling_here_.erase(index_);
    }
    pages_.block_ended_.notify_all();
  }

 private:
  SharedPages& pages_;
  const uint64_t index_;
};

/// What another thread of ours is filling is waited for. What another process was, and may never end, is
/// begun again by who insists.
SharedPages::Begun SharedPages::begin_block(uint64_t index, bool insist) {
  if (block(index).load(std::memory_order_acquire) == present) return Begun::present;
  std::unique_lock lock(mutex_);
  while (filling_here_.contains(index)) {
    if (!insist) return Begun::busy;
    block_ended_.wait(lock);
  }
  uint8_t state = absent;
  if (!block(index).compare_exchange_strong(state, filling)) {
    if (state == present) return Begun::present;
    if (!insist) return Begun::busy;
  }
  filling_here_.insert(index);
  return Begun::ours;
}

/// False if there is no room.
bool SharedPages::fill_block(const SharedMapping& m, uint64_t index, const PageSource& source,
                             MutableByteSpan scratch) {
  const uint64_t begin = m.start + (index - m.first_block) * shared_block_bytes;
  const uint64_t end = std::min(begin + shared_block_bytes, m.end);
  const std::vector<Piece>& pieces = source.pieces();
  for (auto piece = first_behind(pieces, begin); piece != pieces.end() && piece->start < end; ++piece) {
    const uint64_t high = std::min(piece->end(), end);
    for (uint64_t at = std::max(piece->start, begin); at < high;) {
      const uint64_t size = std::min<uint64_t>(high - at, scratch.size());
      if (!write_pages(pages_, source.view(at, size, scratch), m.offset + (at - m.start))) return false;
      at += size;
    }
  }
  block(index).store(present, std::memory_order_release);
  return true;
}

SharedPages::Filled SharedPages::fill(const SharedMapping& m, uint64_t image, uint64_t size,
                                      const PageSource& source, MutableByteSpan scratch, bool insist) {
  const uint64_t last = m.first_block + (image + size - 1 - m.start) / shared_block_bytes;
  bool busy = false;
  for (uint64_t i = m.first_block + (image - m.start) / shared_block_bytes; i <= last; ++i) {
    switch (begin_block(i, insist)) {
      case Begun::present:
        continue;
      case Begun::busy:
        busy = true;
        continue;
      case Begun::ours:
        break;
    }
    const BlockEnd end(*this, i);
    if (!fill_block(m, i, source, scratch)) {
      uint8_t mine = filling;
      block(i).compare_exchange_strong(mine, absent);
      return Filled::no_room;
    }
  }
  return busy ? Filled::busy : Filled::present;
}

SharedProcess::SharedProcess(std::shared_ptr<SharedPages> pages, uint32_t pid) : pages_(std::move(pages)) {
  for (const SharedMapping& m : pages_->mappings())
    if (m.pid == pid) (pages_->is_pinned(m) ? pinned_ : mappings_).push_back(m);
}

const SharedMapping* SharedProcess::find(uint64_t image) const {
  const auto it = std::partition_point(mappings_.begin(), mappings_.end(),
                                       [&](const SharedMapping& m) { return m.end <= image; });
  return it != mappings_.end() && it->start <= image ? &*it : nullptr;
}

bool fill_all(SharedPages& shared, const SnapshotPages& snapshot) {
  std::atomic<bool> room = true;
  Workers workers(default_jobs(), most_waiting);
  std::shared_ptr<const PageSource> source;
  uint32_t of = 0;
  for (const SharedMapping& m : shared.mappings()) {
    if (!source || of != m.pid) source = snapshot.process(of = m.pid);
    for (uint64_t at = m.start; at < m.end; at += filled_at_once)
      workers.submit([&shared, &room, &m, source, at] {
        static thread_local Bytes kept;
        if (room && shared.fill(m, at, std::min(filled_at_once, m.end - at), *source,
                                room_of(kept, shared_block_bytes), true) == SharedPages::Filled::no_room)
          room = false;
      });
  }
  workers.wait();
  return room;
}

}  // namespace coldstart
