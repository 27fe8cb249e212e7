// SPDX-License-Identifier: Apache-2.0
#include "core/remote/open_store.h"

#include <algorithm>
#include <set>

#include <sys/stat.h>
#include <unistd.h>

#include "core/base/folder_stamp.h"
#include "core/base/log.h"
#include "core/remote/origin.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

RemoteOptions reading(const CancelToken* cancel) {
  RemoteOptions options;
  options.cancel = cancel;
  return options;
}

/// All origins of a store as one. Others may be added meanwhile, by other processes too.
class StoreOrigins final : public ChunkOrigin {
 public:
  StoreOrigins(Store& store, const CancelToken* cancel)
      : store_(store), shared_(store.root(), reading(cancel)) {}

  bool has(const Digest& digest) override { return !find(digest).empty(); }
  std::optional<uint64_t> stored_size(const Digest& digest) override;
  std::shared_ptr<const OriginFrame> frame(const Digest& digest, bool* came) override;
  void prefetch(std::span<const Digest> digests) override;
  void announce(std::span<const Digest> digests) override;
  Brought brought() const override { return {shared_.brought_chunks, shared_.brought_bytes}; }
  uint64_t collect(const std::function<bool(const Digest&)>& live, bool dry_run) override;

 private:
  using Origins = std::vector<std::shared_ptr<Origin>>;
  struct Place {
    std::shared_ptr<Origin> origin;
    const IndexedChunk* chunk;
  };
  std::shared_ptr<const Origins> known();
  void rescan();
  std::vector<Place> find(const Digest& digest);
  std::map<std::shared_ptr<Origin>, std::vector<uint32_t>> frames_of(std::span<const Digest> digests);
  void add_needed(const Origin& origin, std::set<Digest>& blobs);

  Store& store_;
  OriginShared shared_;
  std::mutex mutex_;  // guards all below
  std::shared_ptr<const Origins> origins_;
  FolderStamp listed_;
};

std::shared_ptr<const StoreOrigins::Origins> StoreOrigins::known() {
  const std::lock_guard lock(mutex_);
  return origins_ ? origins_ : std::make_shared<const Origins>();
}

/// Takes up what was pulled since the last time. The files of an origin never change but for where it is and
/// how long to wait.
void StoreOrigins::rescan() {
  const std::lock_guard lock(mutex_);
  if (origins_ && !listed_.changed(origins_folder(shared_.root))) return;
  listed_.look(origins_folder(shared_.root));
  auto origins = std::make_shared<Origins>();
  for (const Digest& manifest : list_origins(shared_.root)) {
    try {
      const std::optional<OriginRecord> record = read_origin(shared_.root, manifest);
      if (!record) continue;
      std::shared_ptr<Origin> origin;
      if (origins_)
        for (const auto& before : *origins_)
          if (before->record() == *record) origin = before;
      origins->push_back(origin ? origin : std::make_shared<Origin>(*record, shared_));
    } catch (const Error& e) {
      log::warn("{}", e.message());
    }
  }
  origins_ = std::move(origins);
}

std::vector<StoreOrigins::Place> StoreOrigins::find(const Digest& digest) {
  std::vector<Place> places;
  const auto look = [&] {
    for (const auto& origin : *known())
      if (const IndexedChunk* chunk = origin->index().find(digest)) places.push_back({origin, chunk});
  };
  look();
  if (!places.empty()) return places;
  rescan();
  look();
  return places;
}

std::optional<uint64_t> StoreOrigins::stored_size(const Digest& digest) {
  const std::vector<Place> places = find(digest);
  if (places.empty()) return std::nullopt;
  const IndexedChunk& chunk = *places.front().chunk;
  const IndexedFrame& frame = places.front().origin->index().frames()[chunk.frame];
  return uint64_t{frame.stored} * chunk.length / frame.content;
}

std::shared_ptr<const OriginFrame> StoreOrigins::frame(const Digest& digest, bool* came) {
  const std::vector<Place> places = find(digest);
  for (size_t i = 0; i < places.size(); ++i) {
    const Place& place = places[i];
    try {
      return place.origin->frame(place.chunk->frame, came);
    } catch (const Error& e) {
      const Error told =
          e.in("the chunk " + digest.text() + " cannot be had from " + place.origin->record().url);
      if (i + 1 == places.size()) throw told;
      log::warn("{}", told.message());
    }
  }
  return nullptr;
}

/// The frames with these chunks, of the first origin that has each.
std::map<std::shared_ptr<Origin>, std::vector<uint32_t>> StoreOrigins::frames_of(
    std::span<const Digest> digests) {
  std::map<std::shared_ptr<Origin>, std::vector<uint32_t>> frames;
  for (const Digest& digest : digests)
    if (const std::vector<Place> places = find(digest); !places.empty())
      frames[places.front().origin].push_back(places.front().chunk->frame);
  return frames;
}

void StoreOrigins::prefetch(std::span<const Digest> digests) {
  for (const auto& [origin, frames] : frames_of(digests)) origin->fetch(frames, {}, true);
}

void StoreOrigins::announce(std::span<const Digest> digests) {
  for (const auto& [origin, frames] : frames_of(digests)) origin->announce(frames);
}

/// A fetched pack is worth keeping while a chunk in it is in no pack of the store.
void StoreOrigins::add_needed(const Origin& origin, std::set<Digest>& blobs) {
  const ChunkIndex& index = origin.index();
  std::vector<bool> needed(index.packs().size());
  for (const IndexedChunk& chunk : index.chunks()) {
    const uint32_t pack = index.frames()[chunk.frame].pack;
    if (!needed[pack] && !store_.has_here(chunk.digest)) needed[pack] = true;
  }
  for (size_t i = 0; i < needed.size(); ++i)
    if (needed[i]) blobs.insert(index.packs()[i].blob);
}

uint64_t StoreOrigins::collect(const std::function<bool(const Digest&)>& live, bool dry_run) {
  rescan();
  uint64_t freed = 0;
  std::set<Digest> needed;
  for (const auto& origin : *known()) {
    if (live(origin->record().manifest))
      add_needed(*origin, needed);
    else
      freed += remove_origin(shared_.root, origin->record().manifest, dry_run);
  }
  std::error_code error;
  for (fs::directory_iterator at(fetched_folder(shared_.root), error), end; !error && at != end;
       at.increment(error)) {
    const auto blob = Digest::parse(at->path().filename().string());
    if (blob && needed.contains(*blob)) continue;
    struct stat st {};
    if (::lstat(at->path().c_str(), &st) != 0) continue;
    if (!dry_run && ::unlink(at->path().c_str()) != 0) continue;
    freed += static_cast<uint64_t>(st.st_blocks) * 512;
  }
  if (!dry_run) rescan();
  return freed;
}

}  // namespace

std::shared_ptr<Store> open_store(const fs::path& root, const CancelToken* cancel) {
  std::shared_ptr<Store> store = Store::open(root);
  store->attach(std::make_shared<StoreOrigins>(*store, cancel));
  return store;
}

}  // namespace coldstart
