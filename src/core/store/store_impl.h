// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the files of this folder share about an open store.

#include "core/store/pack_set.h"
#include "core/store/store.h"

namespace coldstart {

struct Store::Impl {
  explicit Impl(std::filesystem::path r) : root(std::move(r)), packs(root / "packs") {}

  std::filesystem::path lock_file() const { return root / "lock"; }
  std::filesystem::path tmp() const { return root / "tmp"; }
  std::filesystem::path leases() const { return root / "leases"; }
  std::filesystem::path refs(RefKind kind) const {
    return root / "refs" / (kind == RefKind::image ? "images" : "snapshots");
  }

  const std::filesystem::path root;
  PackSet packs;
  std::shared_ptr<ChunkOrigin> origin;  ///< may be null
};

/// "image" or "snapshot".
const char* to_string(RefKind kind);

/// One reference from its file. Throws Error::corrupt naming the file if it is damaged.
Ref read_ref(const std::filesystem::path& path);

/// Names that atomic writes use until they rename: not yet there, or left over by a kill.
inline bool is_aside(const std::filesystem::path& path) {
  return path.filename().native().starts_with('.');
}

}  // namespace coldstart
