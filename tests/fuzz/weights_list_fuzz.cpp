// SPDX-License-Identifier: Apache-2.0
// The list of a server's tensors: refused as corrupt, or read, and then what is written of it is read again
// as the same.
#include <cstdlib>
#include <numeric>

#include "core/base/error.h"
#include "core/gpu/weights_list.h"

using namespace coldstart;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan bytes = std::as_bytes(std::span(data, size));
  try {
    const WeightsList list = WeightsList::parse(as_text(bytes), "it");
    std::vector<size_t> all(list.tensors.size());
    std::iota(all.begin(), all.end(), size_t{0});
    const Digest image = Digest::of(bytes);
    const WeightsList again = WeightsList::parse(to_json(list, image, all).dump(), "written");
    if (again.image != image || again.tensors.size() != list.tensors.size()) std::abort();
    for (const size_t i : all)
      if (again.tensors[i].name != list.tensors[i].name || again.tensors[i].from != list.tensors[i].from ||
          again.tensors[i].bytes != list.tensors[i].bytes ||
          again.tensors[i].digest != list.tensors[i].digest)
        std::abort();
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) std::abort();
  }
  return 0;
}
