// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the pages of a snapshot come from.

#include <filesystem>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/checkpoint/images.h"
#include "core/memory/pending_pages.h"

namespace coldstart {

/// The pages of one process that may be filled after its restore, by the addresses they had at the dump.
/// Immutable once made; thread-safe.
class PageSource {
 public:
  virtual ~PageSource() = default;
  /// In order of address, none across the border of two mappings. All other memory of a mapping that is
  /// filled late is zeros.
  const std::vector<Piece>& pieces() const { return pieces_; }
  /// The mappings that are filled late, in order: where they were at the dump.
  const std::vector<Piece>& mappings() const { return mappings_; }
  /// Mappings that a forked child must see as zeros (MADV_WIPEONFORK) or not at all (MADV_DONTFORK): [start,
  /// end).
  const std::vector<std::pair<uint64_t, uint64_t>>& not_inherited() const { return not_inherited_; }
  /// The bytes at `image`, which lie within one of pieces(): the source's own or put into `scratch` (of at
  /// least `size` bytes). They are verified as far as the source can. Throws if they cannot be had.
  virtual ByteSpan view(uint64_t image, uint64_t size, MutableByteSpan scratch) const = 0;

 protected:
  /// Fills mappings_ and not_inherited_ from an mm-PID.img; `shown` names it in errors.
  void take_mappings(const criu::Mm& mm, const std::string& shown);

  std::vector<Piece> pieces_;
  std::vector<Piece> mappings_;
  std::vector<std::pair<uint64_t, uint64_t>> not_inherited_;
};

/// Pages of a process, by the addresses they had at the dump.
struct PageRange {
  uint64_t address = 0;
  uint32_t pid = 0;  ///< in the images
  uint32_t pages = 0;
  uint64_t bytes() const { return uint64_t{pages} * page_size; }
  bool operator==(const PageRange&) const = default;
};

/// The pages of all processes of a snapshot. Thread-safe.
class SnapshotPages {
 public:
  virtual ~SnapshotPages() = default;
  using Arrived = std::function<void(const std::vector<PageRange>&)>;
  /// Brings near what will be wanted, `first` and then the rest, as far as that makes sense, until it is done
  /// or `stop` says so. What cannot be had is not told: view() will tell. `arrived` is told of pages beside
  /// `first` that are near now; of all of them if they come from afar.
  virtual void prefetch(const std::vector<PageRange>& /*first*/, const std::function<bool()>& /*stop*/,
                        const Arrived& /*arrived*/) const {}
  /// view() may take long where prefetch() has not been yet.
  virtual bool is_far() const { return false; }
  /// Those of one process, by its pid in the images. Throws if the snapshot has none or they are damaged.
  virtual std::shared_ptr<const PageSource> process(uint32_t pid) const = 0;
};

/// A folder of CRIU's images: pagemap-PID.img, mm-PID.img, pages-N.img, and `parent` for incremental dumps.
std::unique_ptr<SnapshotPages> open_image_pages(const std::filesystem::path& folder);

}  // namespace coldstart
