// SPDX-License-Identifier: Apache-2.0
#pragma once
// What stat, gc and fsck share.

#include <unordered_set>

#include "core/store/store_impl.h"

namespace coldstart {

using DigestSet = std::unordered_set<Digest, DigestHash>;

/// The manifests that a living lease names.
std::vector<ManifestName> leased_manifests(const std::filesystem::path& leases);

/// All that a ref or a living lease leads to, manifests included. Throws if one cannot be followed: then
/// nothing may be removed.
DigestSet live_digests(Store& store, const std::filesystem::path& leases, const ManifestWalkers& walkers,
                       const CancelToken& cancel);

/// The walker for a kind; throws if there is none.
const ManifestWalker& walker_for(const ManifestWalkers& walkers, RefKind kind);

/// The shares of a pack's stored bytes that are live and that are not.
struct PackUse {
  uint64_t live_bytes = 0;
  uint64_t garbage_bytes = 0;
  uint64_t live_chunks = 0;
};
PackUse use_of(const PackFile& pack, const DigestSet& live);

/// Folders in tmp/ whose owner is gone.
std::vector<std::filesystem::path> leftovers(const std::filesystem::path& tmp);
/// Bytes of all files at or below `path`; what vanishes meanwhile counts nothing.
uint64_t bytes_below(const std::filesystem::path& path);
/// True if a living process holds the file's lock.
bool is_held(const std::filesystem::path& file);

}  // namespace coldstart
