// SPDX-License-Identifier: Apache-2.0
#include "core/store/pack_export.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/store/store_impl.h"

namespace coldstart {

namespace {

constexpr int export_level = 3;
/// Loose chunks (of no pack here, so read through the origin, or of a scattered frame) are put together up to
/// this.
constexpr size_t loose_chunks = 256;
constexpr size_t loose_bytes = size_t{512} << 10;
/// A frame is scattered if more than so many small chunks of other frames are wanted between the first and
/// the last of its own: who reads them in that order would get much that he has no use for yet.
constexpr size_t slack = 256;
/// An import publishes at this size: what a kill can lose.
constexpr uint64_t import_pack_bytes = uint64_t{128} << 20;

using FrameName = std::pair<const PackFile*, uint32_t>;
FrameName frame_name(const PackSet::Found& found) {
  return {found.pack.get(), found.place.frame_number};
}

/// The chunks of one frame of a pack as a frame of their own; throws if one is wrong.
BuiltFrame from_pack(const PackFile& pack, uint32_t frame_number, std::span<const Digest> wanted) {
  const PackFrame& frame = pack.frames()[frame_number];
  Bytes content(frame.content);
  pack.read_content(frame, content);
  BuiltFrame built;
  std::vector<Bytes> contents;
  for (uint32_t i = 0; i < pack.chunks_of(frame).size(); ++i) {
    const PackChunk chunk = pack.place(frame.first_chunk + i).chunk;
    if (std::find(wanted.begin(), wanted.end(), chunk.digest) == wanted.end()) continue;
    const ByteSpan bytes = ByteSpan(content).subspan(chunk.offset, chunk.length);
    if (chunk.frame != frame_number || Digest::of(bytes) != chunk.digest)
      throw Error::corrupt("the chunk " + chunk.digest.text() + " is corrupt");
    built.add(chunk.digest, bytes);
    contents.emplace_back(bytes.begin(), bytes.end());
  }
  if (built.chunks.empty()) throw Error::corrupt("a frame of " + pack.path().string() + " changed");
  if (built.content_bytes == frame.content)
    built.stored = pack.read_stored(frame);
  else
    compress_frame(built, std::move(contents), export_level);
  return built;
}

/// Neighbours in a frame are read once.
BuiltFrame from_store(Store& store, std::span<const Digest> wanted) {
  std::unordered_map<Digest, Bytes, DigestHash> read;
  for (const Digest& digest : wanted) read.emplace(digest, Bytes());
  BuiltFrame built;
  std::vector<Bytes> contents;
  for (const Digest& digest : wanted) {
    if (read.at(digest).empty())
      store.read_frame(digest, [&](const Digest& other, ByteSpan bytes) {
        if (const auto at = read.find(other); at != read.end() && at->second.empty())
          at->second.assign(bytes.begin(), bytes.end());
      });
    contents.push_back(std::move(read.at(digest)));
    built.add(digest, contents.back());
  }
  compress_frame(built, std::move(contents), export_level);
  return built;
}

/// The frames of several chunks whose wanted ones are not wanted one after the other, more or less. `places`
/// by order of use, empty for a chunk that is in no pack.
std::set<FrameName> scattered_frames(const std::vector<std::vector<PackSet::Found>>& places) {
  struct Range {
    size_t first, last, count;
  };
  std::map<FrameName, Range> ranges;
  size_t at = 0;
  for (const auto& found : places) {
    if (found.empty() || found.front().pack->chunks_of(found.front().place.frame).size() == 1) continue;
    Range& range = ranges.try_emplace(frame_name(found.front()), Range{at, at, 0}).first->second;
    range.last = at++;
    ++range.count;
  }
  std::set<FrameName> result;
  for (const auto& [frame, range] : ranges)
    if (range.last - range.first + 1 > range.count + slack) result.insert(frame);
  return result;
}

}  // namespace

struct FrameExport::Part {
  std::shared_ptr<const PackFile> pack;  // null: loose chunks
  uint32_t frame = 0;
  uint64_t stored = 0;
  uint64_t content = 0;  // of loose chunks; where only the origin knows them, compressed
  std::vector<Digest> chunks;
};

FrameExport::FrameExport(Store& store, std::span<const Digest> chunks) : store_(store) {
  const auto packs = store.impl().packs.packs();
  std::vector<std::vector<PackSet::Found>> places;
  places.reserve(chunks.size());
  for (const Digest& digest : chunks) places.push_back(PackSet::find_in(*packs, digest));
  const std::set<FrameName> scattered = scattered_frames(places);
  std::map<FrameName, size_t> known;
  size_t loose = SIZE_MAX;
  const auto add_loose = [&](const Digest& digest, uint64_t stored, uint64_t content) {
    if (loose == SIZE_MAX || parts_[loose].chunks.size() >= loose_chunks ||
        parts_[loose].content + content > loose_bytes) {
      loose = parts_.size();
      parts_.emplace_back();
    }
    parts_[loose].chunks.push_back(digest);
    parts_[loose].stored += stored;
    parts_[loose].content += content;
  };
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (places[i].empty()) {
      const uint64_t stored = store.stored_size(chunks[i]);
      add_loose(chunks[i], stored, stored);
      continue;
    }
    const PackSet::Found& found = places[i].front();
    const PackFrame& frame = found.place.frame;
    const uint64_t stored = uint64_t{frame.stored} * found.place.chunk.length / frame.content;
    if (scattered.contains(frame_name(found))) {
      add_loose(chunks[i], stored, found.place.chunk.length);
      continue;
    }
    const auto [at, added] = known.try_emplace(frame_name(found), parts_.size());
    if (added) parts_.push_back({found.pack, found.place.frame_number, 0, 0, {}});
    parts_[at->second].chunks.push_back(chunks[i]);
    parts_[at->second].stored += stored;
  }
}

FrameExport::~FrameExport() = default;

size_t FrameExport::count() const {
  return parts_.size();
}

uint64_t FrameExport::stored_bytes(size_t number) const {
  return parts_[number].stored;
}

BuiltFrame FrameExport::build(size_t number) const {
  const Part& part = parts_[number];
  if (part.pack) {
    try {
      return from_pack(*part.pack, part.frame, part.chunks);
    } catch (const Error& e) {
      if (e.exit() != Exit::corrupt && e.error_number() == 0) throw;
      log::debug("{}; reading its chunks one by one", e.message());
    }
  }
  return from_store(store_, part.chunks);
}

FrameWriter::FrameWriter(std::shared_ptr<Store> store)
    : store_(std::move(store)),
      lock_(store_->impl().lock_file(), FileLock::Mode::shared),
      scratch_(store_->impl().tmp()) {
  store_->impl().packs.rescan();
}

FrameWriter::~FrameWriter() {
  try {
    publish();
  } catch (const std::exception& e) {
    log::debug("what was received last is dropped: {}", e.what());
  }
}

void FrameWriter::put(const BuiltFrame& frame) {
  const std::lock_guard lock(mutex_);
  if (!builder_) builder_.emplace(scratch_.path());
  builder_->add(frame);
  if (builder_->bytes() >= import_pack_bytes) publish_locked();
}

void FrameWriter::put_pack(ByteSpan file, const std::string& document) {
  if (file.size() < sizeof(PackFooter)) throw Error::corrupt(document + " is no pack");
  const auto footer = load<PackFooter>(file.data() + file.size() - sizeof(PackFooter));
  const std::filesystem::path path = scratch_.path() / (footer.index_digest.hex() + ".pack");
  {
    const Fd out = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
    write_full(out.get(), file);
  }
  try {
    const PackFile pack(path);
    pack.check_index();
    for (uint32_t i = 0; i < pack.frames().size(); ++i) {
      const PackFrame& frame = pack.frames()[i];
      std::vector<Digest> lacking;
      for (const PackChunk& chunk : pack.chunks_of(frame))
        if (!store_->has_here(chunk.digest)) lacking.push_back(chunk.digest);
      if (!lacking.empty()) put(from_pack(pack, i, lacking));
    }
  } catch (const Error& e) {
    ::unlink(path.c_str());
    throw e.in(document);
  }
  ::unlink(path.c_str());
}

void FrameWriter::publish() {
  const std::lock_guard lock(mutex_);
  publish_locked();
}

void FrameWriter::publish_locked() {
  if (!builder_) return;
  PackBuilder done = std::move(*builder_);
  builder_.reset();
  done.finish();
  const std::filesystem::path folder = store_->root() / "packs";
  check(::rename(done.path().c_str(), (folder / done.name()).c_str()), "cannot publish a pack");
  sync_folder(folder);
  store_->impl().packs.rescan();
}

}  // namespace coldstart
