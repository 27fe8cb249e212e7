// SPDX-License-Identifier: Apache-2.0
#pragma once
// The copy of a snapshot's memory that its replicas on this host map: a folder in memory (tmpfs) with
//
//   images/   what CRIU restores from instead of the snapshot's images (checkpoint/shared_images.h)
//   layout    which mapping of which process lies where in the pages file
//   pages     the pages file: sparse, filled as pages are first wanted, by any page server
//   present   one byte a block of it: what has been filled
//
// Servers fill it side by side without locks. A block is marked as being filled only so that others do
// something else meanwhile: should two of them fill it nevertheless, or one be killed in the middle, no harm
// is done, as all write the same bytes, and nobody maps a page before its block is marked present.

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "core/base/fd.h"
#include "core/checkpoint/pinned_list.h"
#include "core/checkpoint/shared_images.h"
#include "core/memory/page_source.h"

namespace coldstart {

/// Thread-safe once made.
class SharedPages {
 public:
  /// Writes layout and empty files for a new copy into `folder`, whose images/ are there.
  static void create(const std::filesystem::path& folder, const std::vector<SharedMapping>& mappings);
  /// Throws Error if `folder` is not such a copy.
  explicit SharedPages(const std::filesystem::path& folder);
  SharedPages(const SharedPages&) = delete;
  SharedPages& operator=(const SharedPages&) = delete;
  ~SharedPages();

  const std::vector<SharedMapping>& mappings() const { return mappings_; }
  /// Only the bytes of this one are here: it is no mapping of the pages file.
  bool is_pinned(const SharedMapping& m) const { return coldstart::is_pinned(pinned_, m.pid, m.start); }
  /// The pids that have mappings of it.
  std::vector<uint32_t> pids() const;

  enum class Filled {
    present,  ///< all of it
    busy,     ///< a part is being filled by another
    no_room   ///< the host has no memory for it
  };
  /// Sees to it that `size` bytes at `image` of the mapping `m` are in the pages file; those that `source`
  /// does not have are left alone. With `insist` it does not leave to others what they have begun: it waits
  /// for another thread, and begins anew what another process has begun, which may be dead. `scratch` is for
  /// the source. Throws what the source throws.
  Filled fill(const SharedMapping& m, uint64_t image, uint64_t size, const PageSource& source,
              MutableByteSpan scratch, bool insist);
  /// Whether `size` bytes at `image` of the mapping `m` are there already.
  bool has(const SharedMapping& m, uint64_t image, uint64_t size) const;
  /// Nothing is lacking in any mapping.
  bool full() const;
  const Fd& file() const { return pages_; }

 private:
  enum class Begun { present, busy, ours };
  class BlockEnd;
  std::atomic_ref<uint8_t> block(uint64_t index) const;
  Begun begin_block(uint64_t index, bool insist);
  bool has_blocks(uint64_t first, uint64_t count) const;
  bool fill_block(const SharedMapping& m, uint64_t index, const PageSource& source, MutableByteSpan scratch);

  std::vector<SharedMapping> mappings_;
  std::vector<PinnedMapping> pinned_;
  Fd pages_;
  uint8_t* present_ = nullptr;  // mapped, shared with all servers
  size_t blocks_ = 0;
  std::mutex mutex_;  // guards the next
  std::set<uint64_t> filling_here_;
  std::condition_variable block_ended_;
};

/// The shared mappings of one process. Thread-safe.
class SharedProcess {
 public:
  SharedProcess(std::shared_ptr<SharedPages> pages, uint32_t pid);
  const std::vector<SharedMapping>& mappings() const { return mappings_; }
  /// Those of which only the bytes are in the copy.
  const std::vector<SharedMapping>& pinned() const { return pinned_; }
  /// The mapping that had this address at the dump; null if it is not a shared one.
  const SharedMapping* find(uint64_t image) const;
  SharedPages& pages() const { return *pages_; }

 private:
  std::shared_ptr<SharedPages> pages_;
  std::vector<SharedMapping> mappings_;
  std::vector<SharedMapping> pinned_;
};

/// Fills a whole copy, as after a snapshot. False if there is no room for all of it.
bool fill_all(SharedPages& shared, const SnapshotPages& snapshot);

}  // namespace coldstart
