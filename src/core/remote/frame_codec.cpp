// SPDX-License-Identifier: Apache-2.0
#include "core/remote/frame_codec.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/store/compression.h"

namespace coldstart {

std::shared_ptr<const OriginFrame> decode_frame(const ChunkIndex& index, uint32_t number, ByteSpan stored) {
  const IndexedFrame& frame = index.frames()[number];
  auto result = std::make_shared<OriginFrame>();
  for (const uint32_t i : index.chunks_of(number)) {
    const IndexedChunk& chunk = index.chunks()[i];
    result->chunks.push_back({chunk.digest, chunk.offset, chunk.length});
  }
  std::sort(result->chunks.begin(), result->chunks.end(),
            [](const auto& a, const auto& b) { return a.offset < b.offset; });
  const auto wrong = [&](const Digest& digest) -> Error {
    return Error::corrupt("the chunk " + digest.text() + " is corrupt");
  };
  if (result->chunks.empty()) throw Error::corrupt("a frame holds no chunk that is known");
  if (frame.stored == frame.content) {
    result->content.assign(stored.begin(), stored.end());
  } else {
    result->content.resize(frame.content);
    try {
      decompress(stored, result->content);
    } catch (const Error&) {
      throw wrong(result->chunks.front().digest);
    }
  }
  for (const OriginFrame::Chunk& chunk : result->chunks)
    if (Digest::of(result->bytes_of(chunk)) != chunk.digest) throw wrong(chunk.digest);
  return result;
}

}  // namespace coldstart
