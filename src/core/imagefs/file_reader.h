// SPDX-License-Identifier: Apache-2.0
#pragma once
// A file's bytes, put together from its extents and its holes, each piece from the nearest tier that has it:
// memory, the local disk cache, the store. Knows nothing of FUSE.

#include <vector>

#include <sys/types.h>
#include <sys/uio.h>

#include "core/base/workers.h"
#include "core/image/reader.h"
#include "core/imagefs/chunk_cache.h"
#include "core/imagefs/disk_tier.h"
#include "core/imagefs/metrics.h"

namespace coldstart {

/// Bytes of a file where they lie in memory, in order; what they lie in is held.
struct Gather {
  std::vector<iovec> pieces;
  std::vector<Chunk> chunks;
  size_t bytes = 0;
  bool cached_whole = false;  ///< the file is complete on the local disk
  /// It begins as a program or library does.
  bool is_elf() const;
};

/// Thread-safe. All that it is given must outlive it.
class FileReader {
 public:
  /// `disk` may be null: then there is no disk cache. `helpers`: threads that load what is expected.
  FileReader(const ImageReader& image, ChunkCache& chunks, DiskTier* disk, ImageMetrics& metrics,
             unsigned helpers = default_jobs())
      : image_(image), cache_(chunks), disk_(disk), metrics_(metrics), helpers_(helpers, queued_chunks) {}

  /// At most `size` bytes from `offset` on: fewer only at the file's end. Throws what loading a chunk threw.
  Gather read(uint32_t inode, uint64_t offset, size_t size);

  /// Some or all of the file is in the local disk cache.
  bool on_disk(uint32_t inode);
  /// Has what a read of these bytes would load loaded by other threads, unless some of the file is on disk or
  /// they have much to do already. Never blocks.
  void expect(uint32_t inode, uint64_t offset, uint64_t bytes);

  /// lseek(2) with SEEK_DATA (`data`) or SEEK_HOLE; -ENXIO past the end. The end itself counts as a hole.
  off_t seek(const InodeRecord& file, uint64_t offset, bool data) const;

  /// Bytes that are no holes.
  uint64_t allocated(const InodeRecord& file) const;

 private:
  static constexpr size_t queued_chunks = 64;

  void load(std::span<const ExtentRecord> extents);
  /// `count` bytes of the extent, `skip` bytes into it; null if the disk does not have them.
  Chunk from_disk(uint32_t inode, const DiskTier::File& file, const ExtentRecord& extent, uint64_t skip,
                  size_t count);
  Chunk from_memory_or_store(const ChunkRecord& chunk);
  uint32_t length(const ExtentRecord& extent) const { return image_.chunks()[extent.chunk].length; }

  const ImageReader& image_;
  ChunkCache& cache_;
  DiskTier* const disk_;
  ImageMetrics& metrics_;
  Workers helpers_;  // last: its threads use all above
};

/// The path of an inode from the image's root, one of them if it has several links; for messages. Slow.
std::string path_in_image(const ImageReader& image, uint32_t inode);

}  // namespace coldstart
