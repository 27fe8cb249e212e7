// SPDX-License-Identifier: Apache-2.0
#pragma once
// A remote pack as far as it is here: a sparse file in which each frame that was fetched stands where it
// stands in the remote file. Nothing says which do: what was never written reads as a hole or fails its
// digest, and so does what a crash left half written or a disk has lost. So there is no state to keep in
// step, and several processes may fill one file.

#include <filesystem>
#include <mutex>
#include <optional>

#include "core/base/fd.h"
#include "core/remote/chunk_index.h"

namespace coldstart {

/// Thread-safe.
class SparsePack {
 public:
  /// STORE/fetched/HEX. Made when the first frame is kept.
  SparsePack(std::filesystem::path file, uint64_t bytes) : path_(std::move(file)), bytes_(bytes) {}

  /// The stored bytes of a frame if something stands there. Not verified.
  std::optional<Bytes> read(uint64_t offset, uint32_t length);
  /// Quick: false if nothing was ever written there.
  bool may_have(uint64_t offset, uint32_t length);
  /// Keeps what was fetched; whoever reads it verifies it. A failure (a full disk) is logged, and nothing is
  /// kept.
  void keep(uint64_t offset, ByteSpan stored);

 private:
  int open(bool create);
  const std::filesystem::path path_;
  const uint64_t bytes_;
  std::mutex mutex_;  // guards fd_, which is set once
  Fd fd_;
};

}  // namespace coldstart
