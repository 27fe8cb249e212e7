// SPDX-License-Identifier: Apache-2.0
#pragma once
// All packs of a store, searched as one.

#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/base/folder_stamp.h"
#include "core/store/pack_file.h"

namespace coldstart {

/// Thread-safe. Looks at the folder on first use, and again on rescan().
class PackSet {
 public:
  using Packs = std::vector<std::shared_ptr<const PackFile>>;
  using Content = std::shared_ptr<const Bytes>;

  explicit PackSet(std::filesystem::path folder) : folder_(std::move(folder)) {}

  struct Found {
    std::shared_ptr<const PackFile> pack;
    PackPlace place;
  };
  /// Every place of a chunk. If it is in no known pack, and the folder has changed, it is looked at again:
  /// another process may have published the chunk.
  std::vector<Found> find_all(const Digest& digest);
  /// The same among these packs only. A pack whose index is damaged there is logged and left out.
  static std::vector<Found> find_in(const Packs& packs, const Digest& digest);
  /// Takes up new packs and forgets removed ones. A damaged pack is logged and left out.
  void rescan();
  /// Those known now.
  std::shared_ptr<const Packs> packs();

  /// The whole content of a frame, decompressed, not verified. The last few frames of several chunks are
  /// kept, because who reads one small chunk mostly reads its neighbours next.
  Content content(const Found& found);

 private:
  std::shared_ptr<const Packs> scan_locked();

  const std::filesystem::path folder_;
  std::mutex mutex_;  // guards packs_ and listed_
  std::shared_ptr<const Packs> packs_;
  FolderStamp listed_;

  struct CachedFrame {
    std::shared_ptr<const PackFile> pack;
    uint32_t frame;
    Content content;
  };
  std::mutex cache_mutex_;  // guards cache_
  std::deque<CachedFrame> cache_;
};

}  // namespace coldstart
