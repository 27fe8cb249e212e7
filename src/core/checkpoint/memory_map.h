// SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory of a snapshot in the store: which page of which process is in which chunk.
//
// All pages worth keeping, one after another, are the snapshot's *content*: a file that is nowhere whole, cut
// into chunks (of those that an image has as well, only a part may be in it). A process is a list of *runs*:
// pages that follow each other in its address space and in the content. A chunk that two processes share, or
// that comes twice in one, is in the content once. Pages of zeros are in no run. docs/format.md has it byte
// by byte.

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/json.h"
#include "core/store/store.h"

namespace coldstart {

/// A run of pages, as it is stored. Pages are of 4 KiB.
struct MemoryRun {
  uint64_t address = 0;  ///< in the process, at the dump
  uint32_t content = 0;  ///< its first page's number in the content
  uint32_t pages = 0;
  bool operator==(const MemoryRun&) const = default;
};

/// A piece of the content: a chunk of the store, or a part of one that is stored for something else too.
struct MemoryChunk {
  Digest digest;
  uint32_t bytes = 0;  ///< of a chunk that is the content's own: whole pages
  uint32_t skip = 0;   ///< bytes of the stored chunk before the first of these
  bool operator==(const MemoryChunk&) const = default;
};

/// The memory of one process: in order of address, disjoint, each within one mapping.
struct ProcessMemory {
  uint32_t pid = 0;  ///< in the images
  std::vector<MemoryRun> runs;
  bool operator==(const ProcessMemory&) const = default;
};

/// A plain value.
struct MemoryMap {
  std::vector<MemoryChunk> chunks;       ///< the content, in order
  std::vector<ProcessMemory> processes;  ///< by pid; those without such memory are left out

  uint64_t content_bytes() const;
  /// Nullptr if the map has none of this process.
  const ProcessMemory* process(uint32_t pid) const;

  Bytes pack() const;
  /// Throws Error::corrupt naming `document` for what is truncated, out of order or out of bounds.
  static MemoryMap parse(ByteSpan bytes, const std::string& document);
  bool operator==(const MemoryMap&) const = default;
};

/// Where a map is, as a manifest says it.
struct StoredMap {
  uint64_t bytes = 0;
  std::vector<Digest> chunks;  ///< of the packed map, one after another

  /// Names the memory as a whole.
  Digest name() const;
  Json to_json() const;
  static StoredMap from_json(const Json& json, const std::string& document);
};

StoredMap put_memory_map(PackWriter& writer, const MemoryMap& map);
/// Reads and checks it. Throws Error::corrupt.
MemoryMap read_memory_map(Store& store, const StoredMap& stored);
/// For gc and fsck: all chunks of the map and of what it maps.
void walk_memory(Store& store, const StoredMap& stored, std::vector<Digest>& out);

}  // namespace coldstart
