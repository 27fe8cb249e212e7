// SPDX-License-Identifier: Apache-2.0
#pragma once
// An image in the store: its manifest, and what can be done with a whole one.
//
// Words. A *source* yields the entries of a tree (folder, tar, OCI image). The *builder* turns them into
// chunks and a metadata *blob*. The *manifest* is the JSON object that leads to the blob; its digest is the
// image's.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/image/image_config.h"
#include "core/image/reader.h"
#include "core/store/store.h"

namespace coldstart {

/// {"format": "coldstart image 1", "blob": {"bytes": …, "chunks": ["sha256:…", …]}, "files": …, "bytes": …,
///  "config": {…}, "trace": "sha256:…"}, the last only if there is one. No time and no name, so that the same
/// tree always has the same digest.
struct ImageManifest {
  std::vector<Digest> blob_chunks;
  uint64_t blob_bytes = 0;
  uint64_t files = 0;  ///< inodes
  uint64_t bytes = 0;  ///< of file content
  ImageConfig config;
  std::optional<Digest> trace;  ///< what a start reads (trace.h)

  std::string to_json() const;
  static ImageManifest from_json(std::string_view text, const std::string& document);
};

ImageManifest read_image_manifest(Store& store, const Digest& image);
/// Reads, verifies and opens the blob.
ImageReader open_image(Store& store, const ImageManifest& manifest);
/// For gc and fsck: all chunks of an image but its manifest.
void walk_image(Store& store, const Digest& image, std::vector<Digest>& out);
/// The same, but first what `used` names, the text of a trace (trace.h); a damaged one is as none.
void walk_image_in_use(Store& store, const Digest& image, std::string_view used, std::vector<Digest>& out);
/// For push: those of them that must be here to know the others, and the access trace.
void walk_image_metadata(Store& store, const Digest& image, std::vector<Digest>& out);
/// Compressed size of everything that an image needs, what it shares with others included.
uint64_t image_stored_bytes(Store& store, const Digest& image);

struct PackStats {
  Digest digest;  ///< of the manifest
  uint64_t files = 0;
  uint64_t bytes = 0;         ///< of file content
  uint64_t stored_bytes = 0;  ///< compressed size of everything the image needs
  uint64_t new_bytes = 0;     ///< compressed bytes that were not in the store before
};

struct BuildOptions {
  size_t chunk_bytes =
      size_t{512} << 10;  ///< larger files are cut at multiples of this; 4 KiB to 16 MiB, a power of two
  /// Of large frames it is smaller than squashfs's zstd -3 of small blocks, in less than two thirds of its
  /// time.
  PackOptions pack{.level = files_level};
};

class TreeSource;

/// Reads all of `source` into the store and publishes it; sets `ref` if given. Memory: what ImageTree says,
/// and the writer's frames.
PackStats build_image(const std::shared_ptr<Store>& store, TreeSource& source, const BuildOptions& options,
                      const std::optional<RefName>& ref, Operation& op);

/// The tree again, exactly, in `folder` (made if absent; must be empty). Never writes outside of it. Without
/// root: owners and devices that cannot be made are an error that names the first one. If it fails, what it
/// made is removed.
void unpack_image(Store& store, const ImageReader& image, const std::filesystem::path& folder, unsigned jobs,
                  Operation& op);

struct VerifyResult {
  uint64_t chunks = 0;
  struct Corrupt {
    Digest digest;
    std::vector<std::string> files;  ///< at most 10 that have it
    std::string reason;
  };
  std::vector<Corrupt> corrupt;
};
/// Every byte of the image against its digest.
VerifyResult verify_image(Store& store, const ImageReader& image, unsigned jobs, Operation& op);

}  // namespace coldstart
