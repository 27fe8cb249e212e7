// SPDX-License-Identifier: Apache-2.0
#pragma once
// The manifest of a snapshot: the JSON object, kept as a chunk, that leads to all that belongs to it. Its
// digest is the snapshot's.
//
// What a snapshot is made of are *trees*, each stored like an image: CRIU's own files, and for every writable
// file system of the sandbox what was in it at that moment. So chunks are shared with images and between
// snapshots.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/checkpoint/host_facts.h"
#include "core/checkpoint/memory_map.h"
#include "core/sandbox/readiness.h"
#include "core/sandbox/sandbox.h"
#include "core/store/store.h"

namespace coldstart {

/// What is done with TCP connections that are open at the dump.
enum class TcpPolicy {
  none,        ///< there are none
  close,       ///< they come back closed
  established  ///< they come back: both ends are inside
};

struct SnapshotManifest {
  Digest criu;                          ///< tree of CRIU's files, without the memory
  StoredMap memory;                     ///< what those files lack
  std::map<std::string, Digest> trees;  ///< by mount point inside: "/" is what was written over the image
  std::optional<Digest> image;          ///< the image below; absent: `rootfs`
  std::string rootfs;                   ///< --rootfs as given; empty with no image: the host's own root
  /// A chunk: what CRIU will read of the image's files, then what the processes had in memory of them, as the
  /// text of an access trace (core/image/trace.h); absent without an image.
  std::optional<Digest> trace;
  std::vector<std::string> binds;  ///< mount points inside that came from the host: wanted again at restore

  std::vector<std::string> command;      ///< what was started
  std::vector<std::string> environment;  ///< of what was started, "K=V"
  std::string folder = "/";              ///< working folder of what was started
  Net net = Net::host;                   ///< the default at restore
  Readiness ready;
  std::vector<std::string> warmups;

  int32_t root_pid = 0;            ///< inside
  std::vector<std::string> stdio;  ///< CRIU's names of descriptors 0 to 2: "pipe:[123]"; empty: not a pipe
  TcpPolicy tcp = TcpPolicy::none;
  uint32_t processes = 0;
  uint64_t memory_bytes = 0;  ///< of pages at the dump, those of zeros counted
  HostFacts host;
  Json gpu;  ///< null, or what core/gpu needs to bring GPU state back

  /// Throws Error::usage if the command holds bytes that JSON cannot (not UTF-8).
  std::string to_json() const;
  /// Throws Error::corrupt naming `document`.
  static SnapshotManifest from_json(std::string_view text, const std::string& document);
};

SnapshotManifest read_snapshot_manifest(Store& store, const Digest& snapshot);
/// For gc and fsck: all chunks of a snapshot, its image's too, but its own manifest.
void walk_snapshot(Store& store, const Digest& snapshot, std::vector<Digest>& out);
/// For push: those of them that must be here to know the others, and what is read before all else.
void walk_snapshot_metadata(Store& store, const Digest& snapshot, std::vector<Digest>& out);

}  // namespace coldstart
