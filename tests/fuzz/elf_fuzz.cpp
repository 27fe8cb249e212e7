// SPDX-License-Identifier: Apache-2.0
// A program of an image: whatever it holds, few and short names come of it.
#include <algorithm>
#include <cstdlib>

#include "core/image/elf.h"

using namespace coldstart;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const auto names = needed_libraries([&](uint64_t offset, size_t bytes) {
    if (bytes > (size_t{1} << 20)) std::abort();
    if (offset >= file.size()) return Bytes();
    const ByteSpan part = file.subspan(offset, std::min<uint64_t>(bytes, file.size() - offset));
    return Bytes(part.begin(), part.end());
  });
  if (names.size() > 512) std::abort();
  for (const std::string& name : names)
    if (name.empty() || name.size() > 256 || name.find('\0') != std::string::npos) std::abort();
  return 0;
}
