// SPDX-License-Identifier: Apache-2.0
// The loader's cache of an image: either an error that says "corrupt", or one that is written as it is read.
#include <cstdlib>

#include "core/base/error.h"
#include "core/sandbox/loader_cache.h"

using namespace coldstart;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    LoaderCache cache(std::as_bytes(std::span(data, size)));
    cache.add("libcuda.so.1", "/usr/lib/libcuda.so.1");
    const Bytes file = cache.file();
    const LoaderCache again(file);
    if (again.file() != file || again.find("libcuda.so.1") != "/usr/lib/libcuda.so.1") std::abort();
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) std::abort();
  }
  return 0;
}
