// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where chunks come from that no pack of this store has, or only a damaged one. The store does not know what
// stands behind it (core/remote: servers far away); it asks when it must, and believes what it gets, because
// who implements this verifies every chunk against its digest first.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/store/digest.h"

namespace coldstart {

/// The content of a frame, as far as its chunks are known. Every chunk named here has been verified.
struct OriginFrame {
  struct Chunk {
    Digest digest;
    uint32_t offset;  ///< in content
    uint32_t length;
  };
  Bytes content;
  std::vector<Chunk> chunks;

  ByteSpan bytes_of(const Chunk& chunk) const {
    return ByteSpan(content).subspan(chunk.offset, chunk.length);
  }
};

/// Thread-safe. Two threads that want the same frame at once have it brought once.
class ChunkOrigin {
 public:
  virtual ~ChunkOrigin() = default;

  /// True if it knows where the chunk is. Asks nobody far away.
  virtual bool has(const Digest& digest) = 0;
  /// The stored bytes that the chunk takes: its share of its frame. Nothing if it does not know the chunk.
  virtual std::optional<uint64_t> stored_size(const Digest& digest) = 0;
  /// The frame that holds the chunk; null if it does not know it. Throws Error when it cannot be had: within
  /// a deadline, never kept, so that the next call tries again. Error::corrupt names the digest and where the
  /// wrong bytes came from. `came` (or null) becomes true if this call had to bring it from far away.
  virtual std::shared_ptr<const OriginFrame> frame(const Digest& digest, bool* came) = 0;
  /// Brings these near, so that frame() will not have to wait: neighbours in one request, several requests at
  /// once. Returns when all that could be had is here. What could not be had is not told: frame() will tell.
  virtual void prefetch(std::span<const Digest> digests) = 0;
  /// Says that all of these are going to be prefetched, so that who reads one of them earlier has nothing
  /// brought beside it on a guess.
  virtual void announce(std::span<const Digest> digests) = 0;

  /// What this object has brought from far away so far, asked for or ahead of that; as content, which is more
  /// than what went over the wire.
  struct Brought {
    uint64_t chunks = 0, bytes = 0;
  };
  virtual Brought brought() const = 0;

  /// Part of gc: forgets what serves only manifests that are not live. Gives the bytes freed (or, `dry_run`,
  /// that would be).
  virtual uint64_t collect(const std::function<bool(const Digest& manifest)>& live, bool dry_run) = 0;
};

}  // namespace coldstart
