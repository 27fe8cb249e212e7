// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file, and what the journal of a GPU controller says: either an error that says
// "corrupt", or tensors that lie within the file, apart from each other.
#include <cstdlib>

#include "core/base/error.h"
#include "core/gpu/journal.h"
#include "core/gpu/safetensors.h"

using namespace coldstart;

namespace {

void expect(bool right) {
  if (!right) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan bytes = std::as_bytes(std::span(data, size));
  for (const uint64_t file_bytes : {uint64_t{size}, uint64_t{size} + 4096, ~uint64_t{0}}) try {
      const std::vector<Tensor> tensors = parse_safetensors(bytes, file_bytes, "it");
      uint64_t at = 8;
      for (const Tensor& tensor : tensors) {
        expect(tensor.offset >= at && tensor.bytes <= file_bytes - tensor.offset);
        at = tensor.offset + tensor.bytes;
      }
    } catch (const Error& e) {
      expect(e.exit() == Exit::corrupt);
    }
  try {
    bool current = false;
    for (const JournalledProcess& p : parse_gpu_journal(as_text(bytes), "it", "boot", current))
      expect(p.pid > 0 && p.started != 0);
  } catch (const Error& e) {
    expect(e.exit() == Exit::corrupt);
  }
  return 0;
}
