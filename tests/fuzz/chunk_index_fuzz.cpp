// SPDX-License-Identifier: Apache-2.0
// What a remote sends: the chunk index, and the manifest in a ref.

#include <cstdint>

#include "core/base/error.h"
#include "core/remote/chunk_index.h"
#include "core/remote/remote_manifest.h"

using namespace coldstart;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const ChunkIndex index(Bytes(bytes.begin(), bytes.end()), "input");
    for (uint32_t i = 0; i < index.frames().size(); ++i)
      for (const uint32_t number : index.chunks_of(i))
        if (index.find(index.chunks()[number].digest) != &index.chunks()[number]) __builtin_trap();
  } catch (const Error&) {
  }
  try {
    const RemoteManifest manifest = RemoteManifest::from_json(as_text(bytes), "input");
    if (RemoteManifest::from_json(manifest.to_json(), "output").digest != manifest.digest) __builtin_trap();
  } catch (const Error&) {
  }
  return 0;
}
