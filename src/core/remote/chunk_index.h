// SPDX-License-Identifier: Apache-2.0
#pragma once
// The chunk index of an image or snapshot on a remote: in which blob, and where in it, the frame of each of
// its chunks is. docs/format.md draws it.

#include <array>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "core/base/files.h"
#include "core/store/digest.h"

namespace coldstart {

inline constexpr std::array<char, 8> chunk_index_magic = {'c', 's', 'c', 'h', 'u', 'n', 'k', '\1'};
inline constexpr uint32_t chunk_index_version = 2;  ///< 1: all frames are zstd's (pack_format.h)

struct ChunkIndexHeader {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t packs;
  uint32_t frames;
  uint32_t chunks;
};
static_assert(sizeof(ChunkIndexHeader) == 24);

/// A pack on the remote.
struct IndexedPack {
  Digest blob;     ///< of its bytes: the blob's name
  uint64_t bytes;  ///< of the whole file
};
static_assert(sizeof(IndexedPack) == 40);

struct IndexedFrame {
  uint64_t offset;  ///< in the pack's file
  uint32_t stored;
  uint32_t content;
  uint32_t pack;
  uint32_t reserved;  ///< 0
};
static_assert(sizeof(IndexedFrame) == 24);

struct IndexedChunk {
  Digest digest;
  uint32_t frame;
  uint32_t offset;  ///< in the frame's content
  uint32_t length;
};
static_assert(sizeof(IndexedChunk) == 44);

/// A checked view: after the constructor no accessor can leave it. Immutable, so thread-safe. Move-only.
class ChunkIndex {
 public:
  /// Throws Error::corrupt naming `document` and what is wrong.
  ChunkIndex(Bytes bytes, const std::string& document);
  ChunkIndex(FileMapping bytes, const std::string& document);
  ChunkIndex(ChunkIndex&&) noexcept = default;
  ChunkIndex& operator=(ChunkIndex&&) noexcept = default;

  std::span<const IndexedPack> packs() const { return packs_; }
  std::span<const IndexedFrame> frames() const { return frames_; }
  std::span<const IndexedChunk> chunks() const { return chunks_; }  ///< sorted by digest
  const IndexedChunk* find(const Digest& digest) const;
  /// The numbers of the chunks that are known of a frame.
  std::span<const uint32_t> chunks_of(uint32_t frame) const;

 private:
  void open(ByteSpan bytes, const std::string& document);
  void check_records(const std::string& document) const;
  void group_by_frame();
  std::variant<Bytes, FileMapping> owner_;
  std::span<const IndexedPack> packs_;
  std::span<const IndexedFrame> frames_;
  std::span<const IndexedChunk> chunks_;
  std::vector<uint32_t> frame_start_;  // where a frame's chunks begin in by_frame_
  std::vector<uint32_t> by_frame_;
};

/// Makes one.
class ChunkIndexBuilder {
 public:
  /// The number of a pack; each is there once.
  uint32_t pack(const Digest& blob, uint64_t bytes);
  uint32_t frame(uint32_t pack, uint64_t offset, uint32_t stored, uint32_t content);
  void chunk(const Digest& digest, uint32_t frame, uint32_t offset, uint32_t length);
  const std::vector<IndexedPack>& packs() const { return packs_; }
  /// The whole index. A chunk that was added twice is there once.
  Bytes finish();

 private:
  std::vector<IndexedPack> packs_;
  std::vector<IndexedFrame> frames_;
  std::vector<IndexedChunk> chunks_;
};

}  // namespace coldstart
