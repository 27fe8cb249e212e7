// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/file_content.h"

namespace coldstart {

Digest content_name(const ImageReader& image, const InodeRecord& file) {
  struct Piece {
    uint64_t offset;
    ChunkRecord chunk;
  };
  static_assert(sizeof(Piece) == 48);
  Bytes text = to_bytes("coldstart content 1\n");
  append(text, bytes_of(file.size));
  for (const ExtentRecord& extent : image.extents(file))
    append(text, bytes_of(Piece{extent.offset, image.chunks()[extent.chunk]}));
  return Digest::of(text);
}

uint64_t content_disk_bytes(const ImageReader& image, const InodeRecord& file) {
  uint64_t sum = 0;
  for (const ExtentRecord& extent : image.extents(file))
    sum += (image.chunks()[extent.chunk].length + 4095) / 4096 * uint64_t{4096};
  return sum;
}

}  // namespace coldstart
