// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a server tells of its weights, so that they need not be in its snapshot: which tensor of which file is
// where in its device memory. It exports that memory (cuIpcGetMemHandle), as only so another process may
// write to it.
//
//   {"image": "sha256:…", "gpu": "GPU-…", "tensors": [{"name": "model.norm.weight", "file":
//   "/models/a.safetensors",
//     "handle": "<128 hex digits>", "offset": 512, "from": 0, "bytes": 8192, "digest": "sha256:…"}, …]}
//
// docs/weights.md explains it to those who write servers.

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/gpu/cuda_types.h"
#include "core/gpu/gpu_uuid.h"
#include "core/store/digest.h"

namespace coldstart {

/// A tensor, or a part of one.
struct PlacedTensor {
  std::string name;                       ///< in the file
  std::string file;                       ///< in the image; empty: the only one that was named
  std::optional<cuda::IpcHandle> handle;  ///< of an allocation
  std::optional<Digest> digest;           ///< of these bytes, as the server took it
  uint64_t offset = 0;                    ///< bytes from its beginning
  uint64_t from = 0;                      ///< bytes of the tensor before the first of these
  std::optional<uint64_t> bytes;          ///< absent: all that follow
};

struct WeightsList {
  std::optional<Digest> image;  ///< that the tensors were compared with
  std::optional<GpuUuid> gpu;   ///< absent: the first
  std::vector<PlacedTensor> tensors;

  /// Throws Error::corrupt naming `document`.
  static WeightsList parse(std::string_view text, const std::string& document);
};

/// As `drop` writes it and `refill` reads it again, once the handles are added: of these tensors by number.
OrderedJson to_json(const WeightsList& list, const Digest& image, const std::vector<size_t>& which);

}  // namespace coldstart
