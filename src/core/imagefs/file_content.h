// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a file's bytes are called: the same bytes have the same name in every image of every packer that cuts
// alike, so they are cached once.

#include "core/image/reader.h"

namespace coldstart {

/// The digest of a file's size and extent list.
Digest content_name(const ImageReader& image, const InodeRecord& file);

/// Bytes that are no holes, as whole pages: about what the file takes on a disk.
uint64_t content_disk_bytes(const ImageReader& image, const InodeRecord& file);

}  // namespace coldstart
