// SPDX-License-Identifier: Apache-2.0
#pragma once
// Chunks leaving a store and entering one as whole frames: compressed once, where they were packed.

#include <memory>
#include <mutex>
#include <optional>

#include "core/store/pack_builder.h"
#include "core/store/store.h"

namespace coldstart {

/// The frames that chunks of a store are in, as they can be put into packs elsewhere. A chunk that the frame
/// holds beside those wanted is left out, for it may be nobody's business there. Frames whose chunks are
/// wanted far from each other are taken apart, and new ones made of what is wanted together: what a start
/// reads, by its trace, comes without what lay beside it.
class FrameExport {
 public:
  /// `chunks` without repetitions; frames come in the order in which their first chunk is named.
  FrameExport(Store& store, std::span<const Digest> chunks);
  ~FrameExport();
  FrameExport(const FrameExport&) = delete;
  FrameExport& operator=(const FrameExport&) = delete;

  size_t count() const;
  /// About the bytes that frame `number` will take.
  uint64_t stored_bytes(size_t number) const;
  /// The frame, every chunk verified. Thread-safe. Throws Error::corrupt if a chunk is not to be had.
  BuiltFrame build(size_t number) const;

 private:
  struct Part;
  Store& store_;
  std::vector<Part> parts_;
};

/// Adds frames to a store that another one made. Holds the store's lock (shared) as PackWriter does. Packs
/// are published as they get full, so what is here when this is interrupted need not come again; what has not
/// been published is, as far as possible, when this is destroyed. Thread-safe.
class FrameWriter {
 public:
  explicit FrameWriter(std::shared_ptr<Store> store);
  ~FrameWriter();
  FrameWriter(const FrameWriter&) = delete;
  FrameWriter& operator=(const FrameWriter&) = delete;

  /// `frame` must have been verified.
  void put(const BuiltFrame& frame);
  /// All frames of a pack that came whole, as the bytes of its file: checked and verified here. Throws
  /// Error::corrupt naming `document`.
  void put_pack(ByteSpan file, const std::string& document);
  /// Publishes what was put. More may be put afterwards. Set references while this object lives.
  void publish();

 private:
  void publish_locked();
  const std::shared_ptr<Store> store_;
  const FileLock lock_;
  const Store::Scratch scratch_;
  std::mutex mutex_;  // guards builder_
  std::optional<PackBuilder> builder_;
};

}  // namespace coldstart
