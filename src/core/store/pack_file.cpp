// SPDX-License-Identifier: Apache-2.0
#include "core/store/pack_file.h"

#include <algorithm>

#include <fcntl.h>

#include "core/base/error.h"
#include "core/store/compression.h"

namespace coldstart {

namespace {

template <class T>
std::span<const T> records(ByteSpan from, uint64_t offset, uint32_t count) {
  return {reinterpret_cast<const T*>(from.data() + offset), count};
}

}  // namespace

PackFile::PackFile(const std::filesystem::path& path)
    : path_(path), fd_(open_file(path, O_RDONLY)), mapping_(fd_.get(), path.string()) {
  const ByteSpan file = mapping_.bytes();
  if (file.size() < sizeof pack_magic + sizeof(PackFooter)) broken("it is too short");
  if (std::memcmp(file.data(), pack_magic.data(), pack_magic.size()) != 0) broken("it does not start as one");
  // Through the file, not the mapping: a page that cannot be read is an error here and a SIGBUS there.
  PackFooter footer;
  const uint64_t index_end = file.size() - sizeof footer;
  if (pread_full(fd_.get(), std::as_writable_bytes(std::span(&footer, 1)), static_cast<off_t>(index_end)) !=
          sizeof footer ||
      footer.magic != pack_magic || footer.reserved != 0)
    broken("its footer is missing");
  if (footer.version == 0 || footer.version > pack_version)
    broken("its version is " + std::to_string(footer.version) + ", this program knows " +
           std::to_string(pack_version));
  // 64-bit sums of 32-bit counts times small sizes: no overflow.
  const uint32_t checks = footer.version >= 2 ? footer.chunks : 0;
  const uint64_t size = uint64_t{footer.frames} * sizeof(PackFrame) +
                        uint64_t{footer.chunks} * (sizeof(PackChunk) + sizeof(uint32_t)) +
                        uint64_t{checks} * sizeof(uint64_t);
  if (footer.index_offset > index_end || index_end - footer.index_offset != size ||
      footer.index_offset % alignof(PackFrame) != 0)
    broken("its index does not fit");
  if (path.stem() != footer.index_digest.hex()) broken("its name is not that of its index");
  index_ = file.subspan(footer.index_offset, size);
  frames_ = records<PackFrame>(index_, 0, footer.frames);
  chunks_ = records<PackChunk>(index_, frames_.size_bytes(), footer.chunks);
  order_ = records<uint32_t>(index_, frames_.size_bytes() + chunks_.size_bytes(), footer.chunks);
  checks_ = records<uint64_t>(index_, size - checks * sizeof(uint64_t), checks);
}

void PackFile::broken(const std::string& why) const {
  throw Error::corrupt("the pack " + path_.string() + " is damaged: " + why);
}

void PackFile::check_frame(const PackFrame& frame) const {
  const auto index_offset = static_cast<uint64_t>(index_.data() - mapping_.bytes().data());
  if (frame.offset < pack_magic.size() || frame.offset > index_offset ||
      frame.stored > index_offset - frame.offset)
    broken("a frame lies outside of it");
  if (frame.content == 0 || frame.content > max_frame_bytes || frame.stored == 0 ||
      frame.stored > frame.content)
    broken("a frame's size is not possible");
  if (frame.first_chunk > chunks_.size() || frame.chunk_count > chunks_.size() - frame.first_chunk)
    broken("a frame's chunks are not in its index");
}

std::span<const PackChunk> PackFile::chunks_of(const PackFrame& frame) const {
  check_frame(frame);
  return chunks_.subspan(frame.first_chunk, frame.chunk_count);
}

PackPlace PackFile::place(uint32_t number) const {
  PackPlace place{{}, chunks_[number], chunks_[number].frame, {}};
  if (!checks_.empty()) place.check = checks_[number];
  if (place.frame_number >= frames_.size()) broken("a chunk's frame is not in its index");
  place.frame = frames_[place.frame_number];
  check_frame(place.frame);
  if (place.chunk.length == 0 || place.chunk.offset > place.frame.content ||
      place.chunk.length > place.frame.content - place.chunk.offset)
    broken("a chunk lies outside of its frame");
  return place;
}

std::optional<PackPlace> PackFile::find(const Digest& digest) const {
  const auto digest_of = [&](uint32_t number) -> const Digest& {
    if (number >= chunks_.size()) broken("its order of chunks is not possible");
    return chunks_[number].digest;
  };
  const auto at = std::lower_bound(order_.begin(), order_.end(), digest,
                                   [&](uint32_t number, const Digest& d) { return digest_of(number) < d; });
  if (at == order_.end() || digest_of(*at) != digest) return std::nullopt;
  return place(*at);
}

Bytes PackFile::read_stored(const PackFrame& frame) const {
  Bytes stored(frame.stored);
  read_stored_into(frame, stored);
  return stored;
}

void PackFile::read_stored_into(const PackFrame& frame, MutableByteSpan out) const {
  if (pread_full(fd_.get(), out, static_cast<off_t>(frame.offset)) != out.size()) broken("it was cut short");
}

void PackFile::read_content(const PackFrame& frame, MutableByteSpan out) const {
  if (frame.stored == frame.content) {
    read_stored_into(frame, out);
    return;
  }
  static thread_local Bytes kept;
  const MutableByteSpan stored = room_of(kept, frame.stored);
  read_stored_into(frame, stored);
  try {
    decompress(stored, out);
  } catch (const Error& e) {
    broken("of a frame, " + e.message());
  }
}

void PackFile::check_index() const {
  if (Digest::of(index_).hex() != path_.stem()) broken("its index was changed");
  uint64_t at = pack_magic.size();
  uint32_t chunk = 0;
  for (uint32_t i = 0; i < frames_.size(); ++i) {
    const PackFrame& frame = frames_[i];
    uint32_t offset = 0;
    if (frame.offset != at || frame.first_chunk != chunk) broken("its frames are not in order");
    for (const PackChunk& c : chunks_of(frame)) {
      if (c.frame != i || c.offset != offset || c.length > frame.content - offset)
        broken("its chunks are not in order");
      offset += c.length;
    }
    if (offset != frame.content) broken("a frame holds more than its chunks");
    at += frame.stored;
    chunk += frame.chunk_count;
  }
  const auto padding =
      mapping_.bytes().subspan(at, static_cast<size_t>(index_.data() - mapping_.bytes().data()) - at);
  if (chunk != chunks_.size() || padding.size() >= alignof(PackFrame) || !all_zero(padding))
    broken("its frames do not fill it");
  for (size_t i = 0; i < order_.size(); ++i) {
    if (order_[i] >= chunks_.size() ||
        (i > 0 && !(chunks_[order_[i - 1]].digest < chunks_[order_[i]].digest)))
      broken("its order of chunks is not possible");
  }
}

}  // namespace coldstart
