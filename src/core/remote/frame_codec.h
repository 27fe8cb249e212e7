// SPDX-License-Identifier: Apache-2.0
#pragma once
// From the stored bytes of a remote frame to its chunks, each against its digest.

#include <memory>

#include "core/remote/chunk_index.h"
#include "core/store/chunk_origin.h"

namespace coldstart {

/// Decompresses and verifies. `chunks` of the result are those that the index knows, in the order in which
/// they stand in the frame. Throws Error::corrupt naming the first chunk that is wrong, and nothing else.
std::shared_ptr<const OriginFrame> decode_frame(const ChunkIndex& index, uint32_t frame, ByteSpan stored);

}  // namespace coldstart
