// SPDX-License-Identifier: Apache-2.0
#pragma once
// The .safetensors files that `snapshot --weights` names, as chunks of the store.

#include <memory>
#include <optional>
#include <string>

#include <sys/types.h>

#include "core/checkpoint/weights_finder.h"
#include "core/gpu/safetensors.h"

namespace coldstart {

/// The file at `path`, absolute and as the process sees it: that of the image, if it has one there, cut as it
/// was packed; else the file itself, cut as `image pack` would. Links are followed. Keeps what it reads from
/// open, so the process may end meanwhile. Throws Error::not_found if there is none, Error::corrupt if it is
/// no such file.
WeightsFile open_weights(const std::shared_ptr<Store>& store, const std::optional<Digest>& image, pid_t pid,
                         const std::string& path);

/// The file of an image; nothing if the image has none there.
std::optional<WeightsFile> image_weights(const std::shared_ptr<Store>& store, const Digest& image,
                                         const std::string& path);

/// How many bytes from `at` on, at most `most`, are best read at once: no chunk is read a second time for the
/// rest of it.
uint64_t whole_chunks(const WeightsFile& file, uint64_t at, uint64_t most);

/// The bytes of an image's file from `at` on, verified; holes are zeros. Where the disk cache has the file,
/// as it was read through a mount, nothing has to be decompressed. Thread-safe. Throws Error::corrupt.
void read_weights(Store& store, const WeightsFile& file, uint64_t at, MutableByteSpan into);

/// What is in it. Reads its beginning.
std::vector<Tensor> tensors_of(const WeightsFile& file);

}  // namespace coldstart
