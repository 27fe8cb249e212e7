// SPDX-License-Identifier: Apache-2.0
#include "core/store/pack_export.h"

#include <algorithm>
#include <map>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/store/store_impl.h"

namespace coldstart {

namespace {

constexpr int export_level = 3;
/// Chunks that are in no pack here (they are read through the origin) are put together by so many.
constexpr size_t loose_chunks = 64;
constexpr size_t loose_bytes = size_t{512} << 10;
/// An import publishes at this size: what a kill can lose.
constexpr uint64_t import_pack_bytes = uint64_t{128} << 20;

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

BuiltFrame from_store(Store& store, std::span<const Digest> wanted) {
  BuiltFrame built;
  std::vector<Bytes> contents;
  for (const Digest& digest : wanted) {
    contents.push_back(store.read(digest));
    built.add(digest, contents.back());
  }
  compress_frame(built, std::move(contents), export_level);
  return built;
}

}  // namespace

struct FrameExport::Part {
  std::shared_ptr<const PackFile> pack;  // null: chunks that are read through the origin
  uint32_t frame = 0;
  uint64_t stored = 0;
  std::vector<Digest> chunks;
};

FrameExport::FrameExport(Store& store, std::span<const Digest> chunks) : store_(store) {
  const auto packs = store.impl().packs.packs();
  std::map<std::pair<const PackFile*, uint32_t>, size_t> known;
  size_t loose = SIZE_MAX;
  for (const Digest& digest : chunks) {
    const auto places = PackSet::find_in(*packs, digest);
    if (places.empty()) {
      const uint64_t stored = store.stored_size(digest);
      if (loose == SIZE_MAX || parts_[loose].chunks.size() >= loose_chunks ||
          parts_[loose].stored + stored > loose_bytes) {
        loose = parts_.size();
        parts_.emplace_back();
      }
      parts_[loose].chunks.push_back(digest);
      parts_[loose].stored += stored;
      continue;
    }
    const PackSet::Found& found = places.front();
    const auto [at, added] = known.try_emplace({found.pack.get(), found.place.frame_number}, parts_.size());
    if (added) parts_.push_back({found.pack, found.place.frame_number, 0, {}});
    Part& part = parts_[at->second];
    part.chunks.push_back(digest);
    part.stored += uint64_t{found.place.frame.stored} * found.place.chunk.length / found.place.frame.content;
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
