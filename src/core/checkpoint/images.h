// SPDX-License-Identifier: Apache-2.0
#pragma once
// CRIU's image files: a folder of them is what CRIU makes of processes. Each file is a magic number and a
// list of protobuf messages ("entries"), each behind its length. Only pages-N.img differs: raw pages.
//
// All of it is input from outside: what is truncated, oversized or nonsense throws Error::corrupt naming the
// file.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <google/protobuf/message_lite.h>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/checkpoint/criu_images.pb.h"

namespace coldstart {

/// What an image file holds, by its magic number.
enum class ImageKind : uint32_t {
  inventory = 0x58313116,
  pstree = 0x50273030,
  core = 0x55053847,
  mm = 0x57492820,
  pagemap = 0x56084025,
  files = 0x56303138,
};

/// CRIU's words for what a mapping is (criu::Vma's status), as far as we need them.
constexpr uint32_t vma_regular = 1U << 0;
constexpr uint32_t vma_heap = 1U << 5;
constexpr uint32_t vma_file_private = 1U << 6;
constexpr uint32_t vma_anonymous_private = 1U << 9;

/// One image file in memory: its entries, still packed. A plain value.
class CriuImage {
 public:
  /// An empty one, to be filled and written.
  explicit CriuImage(ImageKind kind) : kind_(kind) {}
  /// Reads a whole file and checks its magic and its entries' lengths.
  static CriuImage read(const std::filesystem::path& file, ImageKind kind);
  /// The same of bytes; `shown` names them in errors.
  static CriuImage parse(ByteSpan bytes, ImageKind kind, const std::string& shown);

  size_t size() const { return entries_.size(); }
  /// Unpacks entry `i` as an M; throws if it is none or there is no such entry.
  template <class M>
  M entry(size_t i) const {
    M message;
    unpack(i, message);
    return message;
  }
  /// Adds an entry at the end, or replaces entry `i`.
  void append(const google::protobuf::MessageLite& message);
  void replace(size_t i, const google::protobuf::MessageLite& message);

  /// As CRIU writes it.
  std::string packed() const;
  /// Writes it over `file`, without fsync: images are published with their folder.
  void write(const std::filesystem::path& file) const;
  /// Where it was read from, for errors.
  const std::string& shown() const { return shown_; }

 private:
  void unpack(size_t i, google::protobuf::MessageLite& into) const;

  ImageKind kind_;
  std::string shown_;
  std::vector<std::string> entries_;
};

/// A run of pages of a process, as pagemap-*.img lists them.
struct PageRun {
  static constexpr uint32_t in_parent = 1;  ///< its bytes are in the parent images
  static constexpr uint32_t lazy = 2;       ///< may be filled after the restore
  static constexpr uint32_t present = 4;    ///< its bytes are in the pages file

  uint64_t start = 0;  ///< address
  uint64_t pages = 0;  ///< of 4 KiB
  uint32_t flags = 0;
  uint64_t offset = 0;  ///< of its bytes in the pages file, if present
};

/// A pagemap with the pages file it speaks of.
struct Pagemap {
  uint32_t pages_id = 0;  ///< the bytes are in pages-<pages_id>.img
  std::vector<PageRun> runs;
  uint64_t bytes = 0;  ///< that are present, so the least size of the pages file
};
/// Reads pagemap-*.img; runs that overlap, are out of order or leave the address space are corrupt.
Pagemap read_pagemap(const std::filesystem::path& file);

/// A process as the images have it.
struct ImageProcess {
  uint32_t pid = 0;  ///< inside its pid namespace
  uint32_t parent = 0;
  uint32_t threads = 0;
  std::string name;           ///< as in /proc/PID/comm
  bool zombie = false;        ///< has ended but is not reaped: it has no memory
  uint64_t memory_bytes = 0;  ///< of its own that the images hold
};

struct ImagesSummary {
  std::vector<ImageProcess> processes;  ///< the root first
  uint64_t shared_bytes = 0;            ///< of shared memory that the images hold
  uint64_t memory_bytes() const;        ///< all together
};
/// Reads what is needed of all images in a folder; also checks that the pages files are as large as the
/// pagemaps say.
ImagesSummary summarize_images(const std::filesystem::path& folder);

}  // namespace coldstart
