// SPDX-License-Identifier: Apache-2.0
#include "core/base/late_library.h"

#include <string>

#include <dlfcn.h>

#include "core/base/error.h"

namespace coldstart {

namespace {

std::string loader_says() {
  const char* said = ::dlerror();
  return said == nullptr ? "unknown error" : said;
}

}  // namespace

void* LateLibrary::find(const char* function) {
  void* handle = handle_.load();
  if (handle == nullptr) {
    handle = ::dlopen(name_, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr)
      throw Error::missing("cannot load a library: " + loader_says(),
                           std::string("install the package ") + package_);
    handle_.store(handle);  // another thread may have stored the same one
  }
  void* found = ::dlsym(handle, function);
  if (found == nullptr) throw Error::missing("cannot use a library: " + loader_says());
  return found;
}

}  // namespace coldstart
