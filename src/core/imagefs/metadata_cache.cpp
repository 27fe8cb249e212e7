// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/metadata_cache.h"

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

/// The version is that of the checks: what an older program let through is not believed by a newer one.
Digest metadata_name(const ImageManifest& manifest) {
  Bytes text = to_bytes("coldstart checked metadata 1\n");
  for (const Digest& chunk : manifest.blob_chunks) append(text, bytes_of(chunk.raw));
  return Digest::of(text);
}

}  // namespace

ImageReader open_cached_image(Store& store, FileCache& cache, const ImageManifest& manifest) {
  try {
    if (const Fd file = cache.find(metadata_name(manifest), manifest.blob_bytes))
      return ImageReader(FileMapping(file.get(), "the image's metadata"), ImageReader::Checked::before);
  } catch (const Error& e) {
    log::warn("the cached metadata of the image is left alone: {}", e.what());
  }
  return open_image(store, manifest);
}

void keep_metadata(FileCache& cache, const ImageManifest& manifest, const ImageReader& image) {
  const Digest name = metadata_name(manifest);
  const ByteSpan blob = image.blob();
  if (cache.find(name, blob.size()) || !cache.reserve((blob.size() + 4095) / 4096 * 4096)) return;
  const FileCache::Piece whole{0, blob};
  cache.put(name, blob.size(), {&whole, 1});
}

}  // namespace coldstart
