// SPDX-License-Identifier: Apache-2.0
// What a push does, in order:
//
//   1. learn what the remote has: the chunk indexes of all that is named there
//   2. put what it lacks into packs of its own, whole frames as they are here, and send these; one that is
//   there
//      already (a push that was broken off) is not sent again: the same frames make the same bytes
//   3. send a pack of the metadata and the chunk index
//   4. set the ref
//
// Packs are made in scratch files, as many as are sent at once.

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/progress_task.h"
#include "core/base/workers.h"
#include "core/remote/chunk_index.h"
#include "core/remote/remote.h"
#include "core/store/pack_export.h"

namespace coldstart {

namespace {

using DigestSet = std::unordered_set<Digest, DigestHash>;

/// What a break costs, and what is sent by one connection; small enough that several are under way.
constexpr uint64_t pack_bytes = uint64_t{32} << 20;
/// Whose chunk indexes are looked at: they are kept in memory meanwhile.
constexpr size_t most_refs = 100;

Digest digest_of_file(const Fd& file, uint64_t bytes) {
  Hasher hasher;
  Bytes buffer(size_t{1} << 20);
  for (uint64_t at = 0; at < bytes;) {
    const size_t n = pread_full(file.get(), buffer, static_cast<off_t>(at));
    if (n == 0) throw Error("a scratch file was cut short");
    hasher.update(ByteSpan(buffer).first(n));
    at += n;
  }
  return hasher.finish();
}

class Push {
 public:
  Push(const std::shared_ptr<Store>& store, RefKind kind, const Ref& ref, const std::string& url,
       const PushOptions& options, const ContentWalkers& walkers, Operation& op)
      : store_(store),
        kind_(kind),
        ref_(ref),
        options_(options),
        walkers_(walkers),
        op_(op),
        objects_(open_object_store(url, options.remote)),
        scratch_(store->scratch()) {}

  PushResult run();

 private:
  void find_wanted();
  void learn_remote();
  void learn(const std::string& key);
  void check_packs();
  void use_known();
  void send_lacking();
  BlobName send_metadata();
  bool is_there() const;
  BlobName send_blob(const ObjectSource& source, const Digest& digest);
  BlobName send_frames(const FrameExport& frames, size_t first, size_t end);

  const std::shared_ptr<Store>& store_;
  const RefKind kind_;
  const Ref& ref_;
  const PushOptions& options_;
  const ContentWalkers& walkers_;
  Operation& op_;
  const std::shared_ptr<ObjectStore> objects_;
  const Store::Scratch scratch_;

  std::vector<Digest> wanted_;    // but for the metadata, in the order of use
  std::vector<Digest> metadata_;  // the manifest first
  std::vector<ChunkIndex> remote_;
  std::optional<size_t> same_;  // number in remote_ of what has this name there and is the same
  DigestSet broken_;            // packs that indexes name and that are not there

  std::mutex mutex_;  // guards all below
  ChunkIndexBuilder index_;
  std::atomic<uint64_t> sent_{0}, skipped_{0};
};

void Push::find_wanted() {
  metadata_.push_back(ref_.digest);
  walkers_.metadata.at(kind_)(*store_, ref_.digest, metadata_);
  DigestSet seen;
  std::erase_if(metadata_, [&](const Digest& d) { return !seen.insert(d).second; });
  walkers_.all.at(kind_)(*store_, ref_.digest, wanted_);
  std::erase_if(wanted_, [&](const Digest& d) { return !seen.insert(d).second; });
}

void Push::learn(const std::string& key) {
  try {
    const std::string document = objects_->name() + "/" + key;
    const RemoteManifest manifest = RemoteManifest::from_json(as_text(objects_->get(key)), document);
    Bytes bytes = objects_->get(blob_key(manifest.index.digest));
    if (Digest::of(bytes) != manifest.index.digest)
      throw Error::corrupt("the chunk index of " + document + " is corrupt");
    ChunkIndex index(std::move(bytes), "the chunk index of " + document);
    const std::lock_guard lock(mutex_);
    if (key == ref_key(kind_, ref_.name) && manifest.digest == ref_.digest) same_ = remote_.size();
    remote_.push_back(std::move(index));
  } catch (const RemoteError& e) {
    if (e.kind() != RemoteError::Kind::absent) throw;  // else removed meanwhile
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) throw;
    log::warn("{}; what it has is sent again", e.message());
  }
}

void Push::learn_remote() {
  const auto span = op_.timeline.span("push.learn");
  std::vector<std::string> keys;
  for (const RefKind kind : {RefKind::image, RefKind::snapshot})
    for (std::string& key : objects_->list(ref_prefix(kind))) keys.push_back(std::move(key));
  // The name that is being pushed is most like what is there under it, or under its neighbours.
  const std::string name = ref_prefix(kind_) + ref_.name.name;
  std::stable_partition(keys.begin(), keys.end(), [&](const std::string& k) { return k.starts_with(name); });
  if (keys.size() > most_refs) keys.resize(most_refs);
  Workers workers(options_.jobs, keys.size() + 1);
  for (const std::string& key : keys) workers.submit([this, &key] { learn(key); });
  workers.wait();
}

/// An index may name what somebody removed by hand.
void Push::check_packs() {
  std::unordered_map<Digest, uint64_t, DigestHash> packs;
  for (const ChunkIndex& index : remote_)
    for (const IndexedPack& pack : index.packs()) packs.emplace(pack.blob, pack.bytes);
  Workers workers(options_.jobs, packs.size() + 1);
  for (const auto& [blob, bytes] : packs)
    workers.submit([this, digest = blob, size = bytes] {
      if (objects_->size(blob_key(digest)) == size) return;
      const std::lock_guard lock(mutex_);
      broken_.insert(digest);
    });
  workers.wait();
}

/// Takes from `wanted_` what is there, and points the new index to it.
void Push::use_known() {
  std::vector<Digest> lacking;
  std::unordered_map<const IndexedFrame*, uint32_t> frames;
  for (const Digest& digest : wanted_) {
    const auto known = [&]() -> bool {
      for (const ChunkIndex& index : remote_) {
        const IndexedChunk* chunk = index.find(digest);
        if (chunk == nullptr) continue;
        const IndexedFrame& frame = index.frames()[chunk->frame];
        const IndexedPack& pack = index.packs()[frame.pack];
        if (broken_.contains(pack.blob)) continue;
        auto at = frames.find(&frame);
        if (at == frames.end())
          at = frames
                   .emplace(&frame, index_.frame(index_.pack(pack.blob, pack.bytes), frame.offset,
                                                 frame.stored, frame.content))
                   .first;
        index_.chunk(digest, at->second, chunk->offset, chunk->length);
        skipped_ += uint64_t{frame.stored} * chunk->length / frame.content;
        return true;
      }
      return false;
    };
    if (!known()) lacking.push_back(digest);
  }
  wanted_ = std::move(lacking);
}

BlobName Push::send_blob(const ObjectSource& source, const Digest& digest) {
  const std::string key = blob_key(digest);
  if (objects_->size(key) == source.length()) {
    skipped_ += source.length();
    op_.progress.advance(source.length());
  } else {
    objects_->put(key, source);
    sent_ += source.length();
  }
  return {digest, source.length()};
}

/// Makes a pack of frames first … end - 1, sends it, and enters what is in it in the index.
BlobName Push::send_frames(const FrameExport& frames, size_t first, size_t end) {
  PackBuilder builder(scratch_.path());
  for (size_t i = first; i < end; ++i) {
    op_.cancel.check();
    builder.add(frames.build(i));
  }
  builder.finish(PackBuilder::Durability::none);
  const uint64_t size = builder.bytes();
  const Fd file = open_file(builder.path(), O_RDONLY);
  check(::unlink(builder.path().c_str()), "cannot remove a scratch file");
  const Digest digest = digest_of_file(file, size);
  const auto sent = [this](uint64_t bytes) { op_.progress.advance(bytes); };
  const BlobName blob = send_blob({{}, file.get(), size, sent}, digest);
  const std::lock_guard lock(mutex_);
  const uint32_t pack = index_.pack(digest, size);
  std::vector<uint32_t> numbers;
  for (const PackFrame& frame : builder.frames())
    numbers.push_back(index_.frame(pack, frame.offset, frame.stored, frame.content));
  for (const PackChunk& chunk : builder.chunks())
    index_.chunk(chunk.digest, numbers[chunk.frame], chunk.offset, chunk.length);
  return blob;
}

void Push::send_lacking() {
  const auto span = op_.timeline.span("push.content");
  const FrameExport frames(*store_, wanted_);
  uint64_t total = 0;
  for (size_t i = 0; i < frames.count(); ++i) total += frames.stored_bytes(i);
  const ProgressTask task(op_.progress, "pushing", total);
  Workers workers(options_.jobs, options_.jobs);
  for (size_t first = 0; first < frames.count();) {
    size_t end = first;
    for (uint64_t bytes = 0; end < frames.count() && bytes < pack_bytes; ++end)
      bytes += frames.stored_bytes(end);
    workers.submit([this, &frames, first, end] { send_frames(frames, first, end); });
    first = end;
  }
  workers.wait();
}

BlobName Push::send_metadata() {
  const FrameExport frames(*store_, metadata_);
  return send_frames(frames, 0, frames.count());
}

/// True if it is there under this name already, whole.
bool Push::is_there() const {
  if (!same_) return false;
  const ChunkIndex& index = remote_[*same_];
  const auto known = [&](const Digest& digest) { return index.find(digest) != nullptr; };
  return std::all_of(wanted_.begin(), wanted_.end(), known) &&
         std::all_of(metadata_.begin(), metadata_.end(), known) &&
         std::none_of(index.packs().begin(), index.packs().end(),
                      [&](const IndexedPack& pack) { return broken_.contains(pack.blob); });
}

PushResult Push::run() {
  find_wanted();
  learn_remote();
  check_packs();
  if (is_there()) {
    uint64_t bytes = 0;
    for (const IndexedFrame& frame : remote_[*same_].frames()) bytes += frame.stored;
    return {ref_.digest, 0, bytes};
  }
  use_known();
  send_lacking();
  RemoteManifest manifest;
  manifest.kind = kind_;
  manifest.reference = ref_.name;
  manifest.digest = ref_.digest;
  manifest.metadata = send_metadata();
  const Bytes index = index_.finish();
  manifest.index = send_blob({index, -1, 0, {}}, Digest::of(index));
  for (const IndexedPack& pack : index_.packs())
    if (pack.blob != manifest.metadata.digest) manifest.packs.push_back({pack.blob, pack.bytes});
  // In the same order each time, whatever was sent first.
  std::sort(manifest.packs.begin(), manifest.packs.end(),
            [](const BlobName& a, const BlobName& b) { return a.digest < b.digest; });
  const std::string text = manifest.to_json();
  objects_->put(ref_key(kind_, ref_.name), {as_bytes(text), -1, 0, {}});
  return {ref_.digest, sent_, skipped_};
}

}  // namespace

PushResult push(const std::shared_ptr<Store>& store, RefKind kind, const Ref& ref, const std::string& url,
                const PushOptions& options, const ContentWalkers& walkers, Operation& op) {
  if (url.starts_with("http://") || url.starts_with("https://"))
    throw Error::usage("a web server can only be read from",
                       "push to the folder that it serves, to s3:// or to oci://");
  const auto span = op.timeline.span("push");
  const Store::Lease lease = store->lease("push", {{kind, ref.digest}});
  return Push(store, kind, ref, url, options, walkers, op).run();
}

}  // namespace coldstart
