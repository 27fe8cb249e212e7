// SPDX-License-Identifier: Apache-2.0
#include "core/remote/chunk_index.h"

#include <algorithm>
#include <tuple>

#include "core/base/error.h"
#include "core/store/pack_format.h"

namespace coldstart {

ChunkIndex::ChunkIndex(Bytes bytes, const std::string& document) : owner_(std::move(bytes)) {
  open(std::get<Bytes>(owner_), document);
}

ChunkIndex::ChunkIndex(FileMapping bytes, const std::string& document) : owner_(std::move(bytes)) {
  open(std::get<FileMapping>(owner_).bytes(), document);
}

namespace {

[[noreturn]] void broken(const std::string& document, const char* why) {
  throw Error::corrupt(document + " is damaged: " + why);
}

template <class T>
std::span<const T> take(ByteSpan& from, uint32_t count) {
  const std::span<const T> records(reinterpret_cast<const T*>(from.data()), count);
  from = from.subspan(records.size_bytes());
  return records;
}

}  // namespace

void ChunkIndex::open(ByteSpan bytes, const std::string& document) {
  if (bytes.size() < sizeof(ChunkIndexHeader)) broken(document, "it is too short");
  const auto header = load<ChunkIndexHeader>(bytes.data());
  if (header.magic != chunk_index_magic) broken(document, "it does not start as a chunk index");
  if (header.version == 0 || header.version > chunk_index_version)
    throw Error::corrupt(document + " has the version " + std::to_string(header.version) +
                             ", this program knows " + std::to_string(chunk_index_version),
                         "use a newer coldstart");
  // 64-bit sums of 32-bit counts times small sizes: no overflow.
  const uint64_t size = sizeof header + uint64_t{header.packs} * sizeof(IndexedPack) +
                        uint64_t{header.frames} * sizeof(IndexedFrame) +
                        uint64_t{header.chunks} * sizeof(IndexedChunk);
  if (size != bytes.size()) broken(document, "its size is not that of its records");
  bytes = bytes.subspan(sizeof header);
  packs_ = take<IndexedPack>(bytes, header.packs);
  frames_ = take<IndexedFrame>(bytes, header.frames);
  chunks_ = take<IndexedChunk>(bytes, header.chunks);
  check_records(document);
  group_by_frame();
}

void ChunkIndex::check_records(const std::string& document) const {
  for (const IndexedFrame& frame : frames_) {
    if (frame.pack >= packs_.size()) broken(document, "a frame's pack is not in it");
    const uint64_t bytes = packs_[frame.pack].bytes;
    if (frame.offset > bytes || frame.stored > bytes - frame.offset)
      broken(document, "a frame lies outside of its pack");
    if (frame.content == 0 || frame.content > max_frame_bytes || frame.stored == 0 ||
        frame.stored > frame.content)
      broken(document, "a frame's size is not possible");
  }
  for (size_t i = 0; i < chunks_.size(); ++i) {
    const IndexedChunk& chunk = chunks_[i];
    if (chunk.frame >= frames_.size()) broken(document, "a chunk's frame is not in it");
    const uint32_t content = frames_[chunk.frame].content;
    if (chunk.length == 0 || chunk.offset > content || chunk.length > content - chunk.offset)
      broken(document, "a chunk lies outside of its frame");
    if (i > 0 && !(chunks_[i - 1].digest < chunk.digest)) broken(document, "its chunks are not in order");
  }
}

/// A counting sort.
void ChunkIndex::group_by_frame() {
  frame_start_.assign(frames_.size() + 1, 0);
  for (const IndexedChunk& chunk : chunks_) ++frame_start_[chunk.frame + 1];
  for (size_t i = 1; i < frame_start_.size(); ++i) frame_start_[i] += frame_start_[i - 1];
  by_frame_.resize(chunks_.size());
  std::vector<uint32_t> next(frame_start_.begin(), frame_start_.end());
  for (uint32_t i = 0; i < chunks_.size(); ++i) by_frame_[next[chunks_[i].frame]++] = i;
}

const IndexedChunk* ChunkIndex::find(const Digest& digest) const {
  const auto at =
      std::lower_bound(chunks_.begin(), chunks_.end(), digest,
                       [](const IndexedChunk& chunk, const Digest& d) { return chunk.digest < d; });
  return at != chunks_.end() && at->digest == digest ? &*at : nullptr;
}

std::span<const uint32_t> ChunkIndex::chunks_of(uint32_t frame) const {
  return std::span(by_frame_).subspan(frame_start_[frame], frame_start_[frame + 1] - frame_start_[frame]);
}

uint32_t ChunkIndexBuilder::pack(const Digest& blob, uint64_t bytes) {
  const auto at = std::find_if(packs_.begin(), packs_.end(), [&](const auto& p) { return p.blob == blob; });
  if (at != packs_.end()) return static_cast<uint32_t>(at - packs_.begin());
  packs_.push_back({blob, bytes});
  return static_cast<uint32_t>(packs_.size() - 1);
}

uint32_t ChunkIndexBuilder::frame(uint32_t pack, uint64_t offset, uint32_t stored, uint32_t content) {
  frames_.push_back({offset, stored, content, pack, 0});
  return static_cast<uint32_t>(frames_.size() - 1);
}

void ChunkIndexBuilder::chunk(const Digest& digest, uint32_t frame, uint32_t offset, uint32_t length) {
  chunks_.push_back({digest, frame, offset, length});
}

Bytes ChunkIndexBuilder::finish() {
  std::sort(chunks_.begin(), chunks_.end(), [](const IndexedChunk& a, const IndexedChunk& b) {
    return std::tie(a.digest, a.frame, a.offset) < std::tie(b.digest, b.frame, b.offset);
  });
  chunks_.erase(
      std::unique(chunks_.begin(), chunks_.end(),
                  [](const IndexedChunk& a, const IndexedChunk& b) { return a.digest == b.digest; }),
      chunks_.end());
  const ChunkIndexHeader header{chunk_index_magic, chunk_index_version, static_cast<uint32_t>(packs_.size()),
                                static_cast<uint32_t>(frames_.size()), static_cast<uint32_t>(chunks_.size())};
  const std::array<ByteSpan, 4> parts = {bytes_of(header), std::as_bytes(std::span(packs_)),
                                         std::as_bytes(std::span(frames_)),
                                         std::as_bytes(std::span(chunks_))};
  size_t size = 0;
  for (const ByteSpan part : parts) size += part.size();
  Bytes bytes(size);
  auto at = bytes.begin();
  for (const ByteSpan part : parts) at = std::copy(part.begin(), part.end(), at);
  return bytes;
}

}  // namespace coldstart
