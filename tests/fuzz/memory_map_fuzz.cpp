// SPDX-License-Identifier: Apache-2.0
// The memory map of a snapshot: whatever it says, it is refused as corrupt or can be walked without leaving
// its content.

#include <cstdlib>

#include "core/base/error.h"
#include "core/checkpoint/memory_map.h"

using namespace coldstart;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    const MemoryMap map = MemoryMap::parse(bytes, "fuzzed");
    const uint64_t pages = map.content_bytes() / 4096;
    for (const ProcessMemory& process : map.processes) {
      uint64_t end = 0;
      for (const MemoryRun& run : process.runs) {
        if (run.address < end || uint64_t{run.content} + run.pages > pages) std::abort();
        end = run.address + uint64_t{run.pages} * 4096;
      }
      if (map.process(process.pid) != &process) std::abort();
    }
    if (MemoryMap::parse(map.pack(), "packed") != map) std::abort();
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) std::abort();
  }
  return 0;
}
