// SPDX-License-Identifier: Apache-2.0
#pragma once
// From CRIU's images to the memory of a snapshot in the store: takes the pages that may come back late out of
// a folder of images, so that the folder keeps only what CRIU itself must read.
//
// How the content is cut decides what is stored twice. Mappings grow, merge and move between snapshots, and
// between processes they are at other addresses: a grid would shift and nothing would match. So the borders
// of chunks are where the pages themselves say (content-defined, at whole pages): a page that is put in or
// left out changes the chunk around it and no other.

#include <deque>
#include <filesystem>
#include <optional>
#include <vector>

#include "core/base/files.h"
#include "core/checkpoint/images.h"
#include "core/checkpoint/memory_map.h"
#include "core/checkpoint/weights_finder.h"

namespace coldstart {

/// What is taken: pages of private anonymous memory, which CRIU marks as lazy. Of all others (pages that a
/// process changed in a private mapping of a file, shared memory) the bytes stay in the images.
/// One thread at a time. The folder must not change meanwhile but by this object.
class MemoryPacker {
 public:
  /// Looks at the images of these processes. Throws Error::corrupt.
  MemoryPacker(std::filesystem::path images, const std::vector<ImageProcess>& processes);

  /// Bytes of pages, zeros counted.
  uint64_t bytes() const { return bytes_; }
  /// Puts all chunks, and waits until their digests are known. Pages that are found in one of `weights` are
  /// parts of that file's chunks; how many bytes, weights_bytes() tells then.
  MemoryMap pack(PackWriter& writer, Operation& op, const std::vector<WeightsFile>& weights = {});
  uint64_t weights_bytes() const { return weights_bytes_; }
  /// After pack(): takes the bytes of these pages out of the images, whose pagemaps then call them lazy but
  /// not present. We still have them.
  void reduce_images() const;
  /// After pack(): the content as one plain file.
  void write_content(const std::filesystem::path& file, Operation& op) const;

 private:
  /// Pages next to each other in a process and in its pages file.
  struct Stretch {
    uint64_t address;
    ByteSpan bytes;
  };
  struct Source {
    uint32_t pid;
    Pagemap pagemap;
    FileMapping pages;
    std::vector<Stretch> stretches;  // late, none across the border of two mappings
  };
  /// A chunk of the pages of all processes, one after another, before equal ones are found.
  struct Cut {
    uint32_t pid;
    std::vector<Stretch> pieces;
    bool goes_on = false;                 // its first piece is the rest of the last piece of the cut before
    std::vector<FoundPages::Part> parts;  // of a file of weights; else empty
    Digest digest;                        // with parts: of the list of them
    uint32_t pages = 0;
    bool is_first = true;  // of its digest
  };

  void find_stretches(Source& source) const;
  void find_weights(const std::vector<WeightsFile>& weights, PackWriter& writer, Operation& op);
  void cut(const Source& source, PackWriter& writer, Operation& op);
  MemoryMap map_of_cuts();
  void reduce(const Source& source) const;

  const std::filesystem::path images_;
  std::vector<Source> sources_;
  std::deque<Cut> cuts_;                 // digests are written into it while it grows
  std::optional<WeightsFinder> finder_;  // cuts_ point to its digests
  uint64_t bytes_ = 0;
  uint64_t weights_bytes_ = 0;
};

}  // namespace coldstart
