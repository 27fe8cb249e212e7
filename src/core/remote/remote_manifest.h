// SPDX-License-Identifier: Apache-2.0
#pragma once
// What stands in a ref on a remote: an OCI image manifest, whatever the remote is, so that registries take it
// as it is and keep the blobs that it names.

#include <optional>
#include <string>
#include <vector>

#include "core/store/store.h"

namespace coldstart {

struct BlobName {
  Digest digest;
  uint64_t bytes = 0;
};

struct RemoteManifest {
  RefKind kind = RefKind::image;
  RefName reference;
  Digest digest;                ///< of the image or snapshot
  BlobName index;               ///< its chunk index
  BlobName metadata;            ///< a pack with its manifest and metadata
  std::vector<BlobName> packs;  ///< all others that the index names

  std::string to_json() const;
  /// Throws Error::corrupt naming `document`.
  static RemoteManifest from_json(std::string_view text, const std::string& document);
};

/// "blobs/sha256/HEX"
std::string blob_key(const Digest& digest);
/// "refs/images/NAME:TAG"
std::string ref_key(RefKind kind, const RefName& name);
std::string ref_prefix(RefKind kind);
/// The other way round; nothing if it is no such key.
std::optional<std::pair<RefKind, RefName>> parse_ref_key(std::string_view key);

}  // namespace coldstart
