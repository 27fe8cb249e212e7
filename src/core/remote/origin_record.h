// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a store keeps about where an image or snapshot came from, so that any later process can ask there for
// chunks. STORE/origins/HEX.json says where (HEX: the image's or snapshot's digest), HEX.chunks is its chunk
// index. docs/format.md has the fields.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/remote/chunk_index.h"
#include "core/remote/object_store.h"
#include "core/store/store.h"

namespace coldstart {

struct OriginRecord {
  Digest manifest;  ///< of the image or snapshot
  RefKind kind = RefKind::image;
  std::string url;  ///< without credentials
  Digest index;     ///< of the chunk index
  std::chrono::milliseconds deadline = std::chrono::seconds(30);
  std::string near;  ///< as RemoteOptions::near

  bool operator==(const OriginRecord&) const = default;

  std::string to_json() const;
  static OriginRecord from_json(std::string_view text, const Digest& manifest, const std::string& document);
};

std::filesystem::path origins_folder(const std::filesystem::path& store_root);
/// Writes both files, the record last.
void write_origin(const std::filesystem::path& store_root, const OriginRecord& record, ByteSpan index);
/// Nothing if there is none. Throws Error::corrupt naming the file.
std::optional<OriginRecord> read_origin(const std::filesystem::path& store_root, const Digest& manifest);
/// The digests of all that have one.
std::vector<Digest> list_origins(const std::filesystem::path& store_root);
std::filesystem::path index_file(const std::filesystem::path& store_root, const Digest& manifest);
/// Removes both; gives the bytes that frees.
uint64_t remove_origin(const std::filesystem::path& store_root, const Digest& manifest, bool dry_run);

}  // namespace coldstart
