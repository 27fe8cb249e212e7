// SPDX-License-Identifier: Apache-2.0
#pragma once
// One image's or snapshot's place on a remote, as a source of frames.

#include <atomic>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "core/base/workers.h"
#include "core/remote/frame_codec.h"
#include "core/remote/origin_record.h"
#include "core/remote/sparse_pack.h"

namespace coldstart {

/// Frames in memory, and those on their way: a frame that two threads want at once is brought once.
/// Thread-safe.
class FrameTable {
 public:
  using Frame = std::shared_ptr<const OriginFrame>;
  struct Key {
    Digest blob;
    uint64_t offset;
    bool operator==(const Key&) const = default;
  };

  /// The frame: from memory, or as whoever is bringing it gets it, or by `bring`. What `bring` throws goes to
  /// all who wait, and is not kept.
  Frame get(const Key& key, const std::function<Frame()>& bring);
  /// Says that this thread brings the frame now; false if it is here or on its way already. If true, done()
  /// or failed() must follow.
  bool claim(const Key& key);
  /// Null: it is near now, and who waits is to look for it there.
  void done(const Key& key, Frame frame);
  void failed(const Key& key, std::exception_ptr why);

 private:
  struct KeyHash {
    size_t operator()(const Key& key) const noexcept {
      return DigestHash()(key.blob) ^ (key.offset * 0x9e3779b97f4a7c15U);
    }
  };
  struct Coming {
    std::promise<Frame> promise;
    std::shared_future<Frame> result;
  };
  Frame find_locked(const Key& key);
  void keep_locked(const Key& key, const Frame& frame);

  std::mutex mutex_;                       // guards all below
  std::list<std::pair<Key, Frame>> kept_;  // the newest first
  size_t kept_bytes_ = 0;
  std::unordered_map<Key, std::shared_ptr<Coming>, KeyHash> coming_;
};

/// What all origins of a store share.
struct OriginShared {
  OriginShared(std::filesystem::path store, RemoteOptions options)
      : root(std::move(store)), access(std::move(options)) {}

  std::shared_ptr<SparsePack> sparse_pack(const IndexedPack& pack);
  /// Where requests of prefetches run. Started on first use.
  Workers& workers();

  const std::filesystem::path root;
  const RemoteOptions access;  ///< but for what each origin says itself
  FrameTable frames;
  // See ChunkOrigin::brought().
  std::atomic<uint64_t> brought_chunks{0}, brought_bytes{0};

 private:
  std::mutex mutex_;  // guards all below
  std::map<Digest, std::shared_ptr<SparsePack>> packs_;
  std::unique_ptr<Workers> workers_;
};

std::filesystem::path fetched_folder(const std::filesystem::path& store_root);

/// Thread-safe. Belongs to a shared_ptr.
class Origin : public std::enable_shared_from_this<Origin> {
 public:
  /// Throws Error::corrupt if its index is damaged. Asks nobody yet.
  Origin(OriginRecord record, OriginShared& shared);

  const OriginRecord& record() const { return record_; }
  const ChunkIndex& index() const { return index_; }

  /// The frame, from memory, from what was fetched before, or from the remote. What lies behind it is fetched
  /// ahead, the more the longer somebody reads on. `came` (or null) becomes true if the remote was asked.
  FrameTable::Frame frame(uint32_t number, bool* came);
  /// Fetches those of these frames that are not here: neighbours in one request, several requests at once.
  /// With `each`, every frame that was here or came is given to it, from any thread, and not kept here.
  /// `quiet`: goes on after a failure, and does not tell; else the first one is thrown.
  using Each = std::function<void(uint32_t number, ByteSpan stored, const OriginFrame&)>;
  void fetch(const std::vector<uint32_t>& numbers, const Each& each, bool quiet);
  /// These will be fetched: frame() brings nothing beside them, and little beside others: what is not among
  /// what is known to be wanted is seldom followed by what lies behind it.
  void announce(const std::vector<uint32_t>& numbers);

 private:
  struct Run;
  ObjectStore& objects();
  FrameTable::Key key(uint32_t number) const;
  SparsePack& pack_of(uint32_t number);
  FrameTable::Frame from_here(uint32_t number, Bytes* stored);
  /// `came` set: gets the stored bytes, which are then not kept here.
  FrameTable::Frame from_remote(uint32_t number, Bytes* came);
  std::vector<Run> plan(const std::vector<uint32_t>& wanted) const;
  void fetch_run(const Run& run, const Each& each);
  std::exception_ptr fetch_neighbours(std::span<const uint32_t> numbers, const Each& each,
                                      std::exception_ptr& unreachable);
  void give(uint32_t number, ByteSpan stored, const Each& each);
  void read_ahead(uint32_t number);
  void count(uint32_t number);
  bool is_before(uint32_t a, uint32_t b) const;

  const OriginRecord record_;
  const ChunkIndex index_;
  OriginShared& shared_;
  std::vector<std::shared_ptr<SparsePack>> packs_;
  std::vector<uint32_t> by_place_;  // frames
  /// What was fetched ahead last in a pack: offsets, and how much at once.
  struct Window {
    uint64_t start = 0, end = 0, size = 0;
  };
  std::mutex mutex_;  // guards all below
  std::shared_ptr<ObjectStore> objects_;
  std::vector<Window> windows_;             // by pack
  std::unordered_set<uint32_t> announced_;  // frames
};

}  // namespace coldstart
