// SPDX-License-Identifier: Apache-2.0
#pragma once
// One published pack, for reading.

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/base/files.h"
#include "core/store/pack_format.h"

namespace coldstart {

/// Where a chunk stands: `chunk` is checked to lie within `frame`, and `frame` within the file and the caps.
struct PackPlace {
  PackFrame frame;
  PackChunk chunk;
  uint32_t frame_number;
  std::optional<uint64_t> check;  ///< quick_check(); not in packs of version 1
};

/// Immutable, thread-safe. Opening costs the same for any number of chunks: only the footer is read, the
/// index is mapped, and each record is checked when it is used. The open file keeps its bytes readable
/// after gc has removed its name.
class PackFile {
 public:
  /// Throws Error::corrupt naming the file and what is wrong with it.
  explicit PackFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  uint64_t file_bytes() const { return mapping_.bytes().size(); }
  std::span<const PackFrame> frames() const { return frames_; }
  std::span<const PackChunk> chunks() const { return chunks_; }

  std::optional<PackPlace> find(const Digest& digest) const;
  /// The place of chunk `number` < chunks().size().
  PackPlace place(uint32_t number) const;
  /// The chunks of a frame; the range is checked, each chunk is not (see place()).
  std::span<const PackChunk> chunks_of(const PackFrame& frame) const;

  /// The frame's stored bytes.
  Bytes read_stored(const PackFrame& frame) const;
  /// The frame's content, decompressed into `out` of exactly frame.content bytes. Not verified.
  void read_content(const PackFrame& frame, MutableByteSpan out) const;

  /// Checks all that place() and find() check only on use, and what they never need: the index's digest,
  /// the order, that frames and chunks fill the file without a gap. Throws Error::corrupt.
  void check_index() const;

 private:
  [[noreturn]] void broken(const std::string& why) const;
  void check_frame(const PackFrame& frame) const;
  void read_stored_into(const PackFrame& frame, MutableByteSpan out) const;

  std::filesystem::path path_;
  Fd fd_;
  FileMapping mapping_;
  ByteSpan index_;
  std::span<const PackFrame> frames_;
  std::span<const PackChunk> chunks_;
  std::span<const uint32_t> order_;   ///< numbers of chunks, sorted by digest
  std::span<const uint64_t> checks_;  ///< of the chunks; none in version 1
};

}  // namespace coldstart
