// SPDX-License-Identifier: Apache-2.0
// What users and others write as text: references, digests, reference files, manifests.

#include <cstdlib>

#include <fcntl.h>

#include "core/base/error.h"
#include "core/image/image.h"
#include "core/store/store_impl.h"

using namespace coldstart;

namespace {

void expect(bool right) {
  if (!right) std::abort();
}

/// Nothing, or an Error with the exit status that such a text must give.
template <class Use>
void use(Exit wanted, Use how) {
  try {
    how();
  } catch (const Error& e) {
    expect(e.exit() == wanted);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  use(Exit::usage, [&] {
    const RefName name = RefName::parse(text);
    expect(RefName::parse(name.text()).text() == name.text());
    expect(name.text().find("..") != 0 && name.text().find("/..") == std::string::npos);
  });
  if (const auto digest = Digest::parse(text)) expect(Digest::parse(digest->text()) == digest);
  use(Exit::corrupt, [&] {
    const ImageManifest manifest = ImageManifest::from_json(text, "it");
    expect(ImageManifest::from_json(manifest.to_json(), "again").to_json() == manifest.to_json());
  });
  static const TempDir folder("/dev/shm");
  const std::filesystem::path file = folder.path() / "name:tag";
  write_full(open_file(file, O_WRONLY | O_CREAT | O_TRUNC).get(), as_bytes(text));
  use(Exit::corrupt, [&] { read_ref(file); });
  return 0;
}
