// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writing packs: a frame, and the file that frames are appended to.

#include <filesystem>
#include <span>
#include <vector>

#include "core/base/fd.h"
#include "core/store/pack_format.h"

namespace coldstart {

/// A frame ready to be written.
struct BuiltFrame {
  struct Chunk {
    Digest digest;
    uint32_t length;
    uint64_t check;  ///< quick_check()
  };
  /// Counts a chunk in whose digest was found to be right.
  void add(const Digest& digest, ByteSpan bytes);
  std::vector<Chunk> chunks;
  uint32_t content_bytes = 0;
  Bytes stored;
};

/// Fills `frame.stored` from its content: compressed, or as it is if that is not smaller. Content comes as
/// the frame's chunks in order. Thread-safe; each thread keeps its own compressor.
void compress_frame(BuiltFrame& frame, std::vector<Bytes> contents, int level);

/// One pack being written, under a temporary name in `folder`. One thread at a time.
class PackBuilder {
 public:
  explicit PackBuilder(const std::filesystem::path& folder);
  void add(const BuiltFrame& frame);
  uint64_t bytes() const { return at_; }
  enum class Durability { synced, none };
  /// Writes index and footer and fsyncs (unless the file is only passed on). The file is then complete at
  /// path(), to be renamed to name().
  void finish(Durability durability = Durability::synced);
  std::span<const PackFrame> frames() const { return frames_; }
  std::span<const PackChunk> chunks() const { return chunks_; }
  const std::filesystem::path& path() const { return path_; }
  std::string name() const { return digest_.hex() + ".pack"; }

 private:
  void write(ByteSpan bytes);

  std::filesystem::path path_;
  Fd fd_;
  uint64_t at_ = 0;
  uint64_t flushed_ = 0;  ///< up to here the kernel was told to write back
  std::vector<PackFrame> frames_;
  std::vector<PackChunk> chunks_;
  std::vector<uint64_t> checks_;
  Digest digest_;
};

}  // namespace coldstart
