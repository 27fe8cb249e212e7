// SPDX-License-Identifier: Apache-2.0
#pragma once
// The cache of the dynamic loader, /etc/ld.so.cache, by which programs find libraries. ldconfig makes one by
// reading every library that there is, which takes seconds where an image is served lazily; here some are
// added to one that is there already.
//
// The format is that of glibc's elf/dl-cache.h: "glibc-ld.so.cache1.1", alone or (before glibc 2.32) behind
// one of the older format, which only its size is needed of.

#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace coldstart {

class LoaderCache {
 public:
  /// Without a library. A loader that finds nothing in its cache looks through its folders.
  LoaderCache() = default;
  /// Nothing of it is believed before it is checked. Throws Error::corrupt.
  explicit LoaderCache(ByteSpan file);

  /// A library for x86-64, of glibc, by the name that programs ask for. Any other of that name goes.
  void add(const std::string& name, const std::string& path);
  /// Where the library of that name for x86-64 is; empty if there is none.
  std::string find(const std::string& name) const;
  /// As the file has it: in the new format.
  Bytes file() const;

 private:
  struct Library {
    uint32_t flags = 0;
    uint32_t os_version = 0;
    uint64_t hardware = 0;
    std::string name, path;
  };
  void take_extensions(ByteSpan file, ByteSpan cache, uint32_t where);
  std::vector<Library> libraries_;  // in the loader's order
  std::vector<std::string> hardware_names_;
};

}  // namespace coldstart
