// SPDX-License-Identifier: Apache-2.0
#include "core/image/frame_cache.h"

#include "core/base/error.h"

namespace coldstart {

namespace {
constexpr size_t frames_kept = 4;
}

ByteSpan FrameCache::read(const Digest& digest) {
  if (const auto at = chunks_.find(digest); at != chunks_.end()) return at->second;
  while (frames_.size() >= frames_kept) {
    for (const Digest& old : frames_.front()) chunks_.erase(old);
    frames_.pop_front();
  }
  auto& frame = frames_.emplace_back();
  store_.read_frame(digest, [&](const Digest& d, ByteSpan bytes) {
    if (chunks_.try_emplace(d, bytes.begin(), bytes.end()).second) frame.push_back(d);
  });
  const auto at = chunks_.find(digest);
  if (at == chunks_.end())
    throw Error::corrupt("the chunk " + digest.text() + " is not where the store says");
  return at->second;
}

}  // namespace coldstart
