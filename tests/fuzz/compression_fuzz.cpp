// SPDX-License-Identifier: Apache-2.0
// Stored bytes of a frame that are hostile: the content's size in the first three bytes, then what is stored.
// Either an error that says "corrupt", or content, which comes back from being compressed again.
#include <cstdlib>

#include "core/base/error.h"
#include "core/store/compression.h"

using namespace coldstart;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const size_t bytes = data[0] + (size_t{data[1]} << 8) + (size_t{data[2]} & 1) * 65536;
  Bytes content(bytes);
  try {
    decompress(std::as_bytes(std::span(data, size)).subspan(3), content);
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) std::abort();
    return 0;
  }
  if (content.empty()) return 0;
  const std::optional<Bytes> again = compress(content, 3);
  if (!again) return 0;
  Bytes back(bytes);
  decompress(*again, back);
  if (again->size() >= bytes || back != content) std::abort();
  return 0;
}
