// SPDX-License-Identifier: Apache-2.0
// The list of mappings to be pinned: whatever it says, it is refused as corrupt or its mappings are in order.

#include <cstdlib>

#include "core/base/error.h"
#include "core/checkpoint/pinned_list.h"

using namespace coldstart;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    uint32_t pid = 0;
    uint64_t end = 0;
    for (const PinnedMapping& m : parse_pinned_list({reinterpret_cast<const char*>(data), size}, "fuzzed")) {
      if (m.pid < pid || m.start >= m.end || (m.pid == pid && m.start < end)) std::abort();
      pid = m.pid;
      end = m.end;
    }
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) std::abort();
  }
  return 0;
}
