// SPDX-License-Identifier: Apache-2.0
// What a pull does, in order: the chunk index and the pack of the metadata, which are two requests at once;
// the origin, from which on any process can ask for chunks; unless it is lazy, all frames with a chunk that
// is not here; the reference.

#include <algorithm>
#include <atomic>
#include <future>
#include <unordered_set>

#include "core/base/progress_task.h"
#include "core/remote/origin.h"
#include "core/remote/remote.h"
#include "core/store/pack_export.h"

namespace coldstart {

namespace {

class Pull {
 public:
  Pull(const std::shared_ptr<Store>& store, const RemoteRef& from, const PullOptions& options,
       const ContentWalkers& walkers, Operation& op)
      : store_(store),
        from_(from),
        manifest_(from.manifest),
        options_(options),
        walkers_(walkers),
        op_(op),
        writer_(store) {}

  PullResult run(const std::optional<RefName>& as);

 private:
  Bytes fetch_blob(ObjectStore& objects, const BlobName& blob, const char* what);
  void fetch_metadata();
  void fetch_content();

  const std::shared_ptr<Store>& store_;
  const RemoteRef& from_;
  const RemoteManifest& manifest_;
  const PullOptions& options_;
  const ContentWalkers& walkers_;
  Operation& op_;
  FrameWriter writer_;  // its lock keeps gc from what has no reference yet
  std::atomic<uint64_t> received_{0};
  uint64_t stored_ = 0;
};

/// A whole blob, verified; past all caches if one of them sent something else.
Bytes Pull::fetch_blob(ObjectStore& objects, const BlobName& blob, const char* what) {
  if (blob.bytes > max_object_bytes) throw Error::corrupt(std::string(what) + " is too large");
  for (const auto freshness : {ObjectStore::Freshness::any, ObjectStore::Freshness::origin}) {
    Bytes bytes =
        blob.bytes == 0 ? Bytes() : objects.get(blob_key(blob.digest), ByteRange{0, blob.bytes}, freshness);
    if (Digest::of(bytes) != blob.digest) continue;
    received_ += bytes.size();
    return bytes;
  }
  throw Error::corrupt(std::string(what) + " " + blob.digest.text() + " at " + from_.url + " is corrupt",
                       "push it again");
}

void Pull::fetch_metadata() {
  const auto span = op_.timeline.span("pull.metadata");
  const auto known = read_origin(store_->root(), manifest_.digest);
  const bool same = known && known->index == manifest_.index.digest && store_->has_here(manifest_.digest);
  const auto objects = from_.objects ? from_.objects : open_object_store(from_.url, options_.remote);
  Bytes index;
  if (same) {
    index = read_file(index_file(store_->root(), manifest_.digest));
  } else {
    auto metadata = std::async(std::launch::async,
                               [&] { return fetch_blob(*objects, manifest_.metadata, "the metadata"); });
    index = fetch_blob(*objects, manifest_.index, "the chunk index");
    writer_.put_pack(metadata.get(), "the metadata from " + from_.url);
    writer_.publish();
    if (!store_->has_here(manifest_.digest))
      throw Error::corrupt("the metadata from " + from_.url + " lacks the manifest " +
                           manifest_.digest.text());
  }
  // Checked before it is where others will find it.
  const ChunkIndex checked(index, "the chunk index from " + from_.url);
  for (const IndexedFrame& frame : checked.frames()) stored_ += frame.stored;
  write_origin(store_->root(),
               {manifest_.digest, manifest_.kind, from_.url, manifest_.index.digest, options_.remote.deadline,
                options_.remote.near},
               index);
}

/// One origin of our own, so that the requests end with ours, and only this remote is asked.
void Pull::fetch_content() {
  const auto span = op_.timeline.span("pull.content");
  OriginShared shared(store_->root(), options_.remote);
  Origin origin(*read_origin(store_->root(), manifest_.digest), shared);
  const ChunkIndex& index = origin.index();
  std::vector<uint32_t> lacking;
  uint64_t total = 0;
  for (uint32_t i = 0; i < index.frames().size(); ++i) {
    const auto chunks = index.chunks_of(i);
    if (std::all_of(chunks.begin(), chunks.end(),
                    [&](uint32_t c) { return store_->has_here(index.chunks()[c].digest); }))
      continue;
    lacking.push_back(i);
    total += index.frames()[i].stored;
  }
  const ProgressTask task(op_.progress, "pulling", total);
  const auto take = [&](uint32_t number, ByteSpan stored, const OriginFrame& frame) {
    BuiltFrame built;
    std::vector<Bytes> contents;
    for (const OriginFrame::Chunk& chunk : frame.chunks) {
      if (store_->has_here(chunk.digest)) continue;
      const ByteSpan bytes = frame.bytes_of(chunk);
      built.add(chunk.digest, bytes);
      contents.emplace_back(bytes.begin(), bytes.end());
    }
    if (built.chunks.empty()) return;
    if (built.content_bytes == index.frames()[number].content)
      built.stored.assign(stored.begin(), stored.end());
    else
      compress_frame(built, std::move(contents), PackOptions{}.level);
    writer_.put(built);
    received_ += stored.size();
    op_.progress.advance(stored.size());
  };
  origin.fetch(lacking, take, false);
  writer_.publish();
}

PullResult Pull::run(const std::optional<RefName>& as) {
  fetch_metadata();
  if (!options_.lazy) fetch_content();
  // What the metadata leads to must be known: a remote that lacks some of it is not one to be pulled from.
  std::vector<Digest> needed;
  walkers_.all.at(manifest_.kind)(*store_, manifest_.digest, needed);
  for (const Digest& digest : needed)
    if (!(options_.lazy ? store_->has(digest) : store_->has_here(digest)))
      throw Error::corrupt("the chunk " + digest.text() + " is not at " + from_.url, "push it again");
  PullResult result;
  result.kind = manifest_.kind;
  result.reference = as.value_or(manifest_.reference);
  result.digest = manifest_.digest;
  result.bytes_received = received_;
  result.bytes_skipped = stored_ - std::min<uint64_t>(stored_, received_);
  store_->set_ref(manifest_.kind, result.reference, manifest_.digest);
  return result;
}

}  // namespace

PullResult pull(const std::shared_ptr<Store>& store, const RemoteRef& from, const std::optional<RefName>& as,
                const PullOptions& options, const ContentWalkers& walkers, Operation& op) {
  const auto span = op.timeline.span("pull");
  return Pull(store, from, options, walkers, op).run(as);
}

}  // namespace coldstart
