// SPDX-License-Identifier: Apache-2.0
#pragma once
// The metadata of images, checked once and then mapped from the disk cache as it is: a mount takes no longer
// for a large image than for a small one, and all mounts share its pages.

#include "core/image/image.h"
#include "core/imagefs/file_cache.h"

namespace coldstart {

/// As open_image(), from the cache if it has it.
ImageReader open_cached_image(Store& store, FileCache& cache, const ImageManifest& manifest);

/// Keeps the metadata of an image that was opened, unless it is there. Throws Error.
void keep_metadata(FileCache& cache, const ImageManifest& manifest, const ImageReader& image);

}  // namespace coldstart
