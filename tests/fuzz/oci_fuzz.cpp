// SPDX-License-Identifier: Apache-2.0
// The JSON documents of OCI images and docker archives: what is let through is whole, what is not is corrupt.

#include <cstdlib>

#include "core/base/error.h"
#include "core/image/oci_documents.h"

using namespace coldstart;

namespace {

template <class Use>
void use(Use how) {
  try {
    how();
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) std::abort();
  }
}

void expect(bool right) {
  if (!right) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  use([&] {
    const OciManifest m = OciManifest::parse(text, "it");
    expect(m.is_index ? m.layers.empty() : m.manifests.empty());
  });
  use([&] {
    for (const std::string& variable : OciConfig::parse(text, "it").config.environment)
      expect(variable.find('=') != 0 && variable.find('=') != std::string::npos);
  });
  use([&] { expect(!DockerArchiveImage::parse(text, "it").empty()); });
  return 0;
}
