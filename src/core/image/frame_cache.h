// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reading many small chunks in about the order they are stored: a frame is decompressed once, its other
// chunks are kept for the reads that follow.

#include <deque>
#include <unordered_map>

#include "core/store/store.h"

namespace coldstart {

/// Keeps the chunks of the last few frames. For one thread.
class FrameCache {
 public:
  explicit FrameCache(Store& store) : store_(store) {}
  /// The chunk's bytes, verified; valid until the next call.
  ByteSpan read(const Digest& digest);

 private:
  Store& store_;
  std::unordered_map<Digest, Bytes, DigestHash> chunks_;
  std::deque<std::vector<Digest>> frames_;  // what each kept frame brought, oldest first
};

}  // namespace coldstart
