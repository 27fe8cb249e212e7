// SPDX-License-Identifier: Apache-2.0
#pragma once
// Weights that a snapshot need not store, as a file has them already.
//
// A server's memory has the tensors of a .safetensors file, or the driver's copy of device memory has them,
// but never so that chunks would match by themselves: an image cuts the file by its grid, memory has only
// whole pages, and a tensor begins in both wherever it likes (an allocator that gives 64-byte borders puts it
// 64 bytes into a page, and in the file the header's length moves all that follows). So nothing is cut anew:
// where pages are found to hold a part of the file, the snapshot names that part of the file's own chunks,
// from a byte to a byte. The pages that are only partly of one tensor are stored as all others are.
//
// Finding them is the reverse of rsync. All pages of memory are indexed by their first bytes. The file is
// read once, from its beginning; where it is at a page's first bytes, file and memory are compared as far as
// they are equal. It is looked for a page at every place where one can begin in the first 4096 bytes of each
// tensor and behind what was found: every 8 bytes, as no allocator gives less, or every byte if the file
// itself is not so aligned. Where nothing is near, every 64 bytes are enough for a shard
// of a tensor, and the place in a page where the last one that was found began.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/fd.h"
#include "core/checkpoint/memory_map.h"
#include "core/timeline/operation.h"

namespace coldstart {

/// A file of weights as an image has it, or would have it: in cells, each a chunk of the store.
struct WeightsFile {
  struct Cell {
    uint64_t offset = 0;  ///< in the file
    uint32_t bytes = 0;
    std::optional<Digest> digest;  ///< absent: it may not be in the store
  };
  std::string name;               ///< for messages
  uint64_t bytes = 0;             ///< its size
  std::vector<Cell> cells;        ///< in order, disjoint; what is between them is zeros
  std::vector<uint64_t> tensors;  ///< where each begins in the file, in order
  std::function<Bytes(size_t cell)> read;
  std::shared_ptr<const Fd>
      whole;  ///< all of it as one plain file, which was verified when it was written; or null
};

/// Pages of memory that are a part of a file.
struct FoundPages {
  /// Bytes of a chunk; together they are whole pages.
  struct Part {
    const Digest* digest;  ///< the finder's; set by the time the writer is flushed
    uint32_t skip;
    uint32_t bytes;
  };
  uint32_t pages = 0;
  std::vector<Part> parts;
};

/// One thread at a time. Takes some 20 bytes for each page of memory, and one cell.
class WeightsFinder {
 public:
  /// `memory`: whole pages, disjoint; they must stay valid.
  explicit WeightsFinder(std::vector<ByteSpan> memory);
  WeightsFinder(const WeightsFinder&) = delete;
  WeightsFinder& operator=(const WeightsFinder&) = delete;

  /// Finds the file's bytes in memory. Chunks that are needed and may not be in the store go to the writer.
  void look_for(const WeightsFile& file, PackWriter& writer, Operation& op);
  /// What was found to begin at this page, or null.
  const FoundPages* at(const std::byte* page) const;
  /// Bytes of memory that were found.
  uint64_t bytes() const { return bytes_; }

 private:
  /// Memory and file are equal from `first` up to `next`.
  struct Match {
    uint64_t first_page;  // its number in the index
    const std::byte* first;
    const std::byte* next;
    const std::byte* end;  // of the memory in one piece
    std::vector<FoundPages::Part> parts;
  };
  class InCell;

  const std::byte* page(uint64_t number, const std::byte** end) const;
  void close(Match match);
  size_t place_of(uint64_t hash) const { return (hash >> 24) & (maybe_.size() - 1); }

  const std::vector<ByteSpan> memory_;
  std::vector<uint64_t> first_pages_;                 // of each piece of memory: the number of its first
  std::vector<std::pair<uint64_t, uint32_t>> index_;  // (hash of its first bytes, its number), sorted
  std::vector<bool> maybe_;                           // by some bits of the hash
  std::vector<bool> taken_;                           // by number: it was found
  std::deque<Digest> digests_;                        // of cells; in a deque, as the writer sets them
  std::vector<Match> matches_;                        // that may go on in the next cell
  std::map<const std::byte*, FoundPages> found_;
  uint64_t dense_until_ = 0;  // in the file: up to there it is looked at every place
  uint64_t phase_ = 0;        // where pages began in the file's pages, lately
  uint64_t bytes_ = 0;
};

}  // namespace coldstart
