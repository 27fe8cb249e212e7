// SPDX-License-Identifier: Apache-2.0
#pragma once
// The pages of a snapshot in the store.

#include <filesystem>
#include <memory>

#include "core/checkpoint/manifest.h"
#include "core/memory/page_source.h"

namespace coldstart {

/// `images` are CRIU's files of the snapshot, unpacked: of them only the lists of mappings are read. Throws
/// Error::corrupt.
std::unique_ptr<SnapshotPages> open_stored_pages(const std::shared_ptr<Store>& store,
                                                 const SnapshotManifest& snapshot,
                                                 const std::filesystem::path& images);

/// Makes `folder` what CRIU needs to restore all memory itself: `images` with the pages put back. The folder
/// must not exist; it takes as much space as the memory.
void write_whole_images(const std::shared_ptr<Store>& store, const SnapshotManifest& snapshot,
                        const std::filesystem::path& images, const std::filesystem::path& folder,
                        CancelToken& cancel);

}  // namespace coldstart
