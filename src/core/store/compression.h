// SPDX-License-Identifier: Apache-2.0
#pragma once
// How the content of a frame is stored: as it is, as one zstd frame, or, where it is numbers, as their byte
// planes (byte_planes.h), each as it is or as one zstd frame. docs/format.md draws it. All is thread-safe;
// each thread keeps its own compressor, decompressor and room.

#include <optional>

#include "core/base/bytes.h"

namespace coldstart {

/// Less than `content`, which is not empty, or nothing if there is no such. `level` is zstd's, or files_level
/// (store.h).
std::optional<Bytes> compress(ByteSpan content, int level);

/// What compress() made of a content as large as `out`. Throws Error::corrupt, which says what is wrong with
/// it, and may have written to `out` then.
void decompress(ByteSpan stored, MutableByteSpan out);

}  // namespace coldstart
