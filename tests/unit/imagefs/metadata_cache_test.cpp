// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/metadata_cache.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/blob.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

fs::path only_file(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) return entry.path();
  return {};
}

}  // namespace

TEST_CASE("an image's metadata is mapped from the cache once it is kept there, unless it was touched") {
  const TempDir folder;
  const auto store = Store::open(folder.path());
  BlobSections sections;
  sections.inodes.push_back({.mode = S_IFDIR | 0755, .links = 2, .parent = 1});
  const Bytes blob = sections.assemble();
  ImageManifest manifest;
  manifest.blob_chunks = {Digest::of(blob)};  // in no pack: it can only come from the cache
  manifest.blob_bytes = blob.size();
  FileCache cache(store->root(), 1 << 20);
  CHECK_THROWS_AS(open_cached_image(*store, cache, manifest), Error);
  keep_metadata(cache, manifest, ImageReader(blob));
  CHECK(open_cached_image(*store, cache, manifest).inode_count() == 1);
  const Fd file = open_file(only_file(cache.root() / "files"), O_WRONLY);
  pwrite_full(file.get(), as_bytes("x"), 0);
  CHECK_THROWS_AS(open_cached_image(*store, cache, manifest), Error);
}
