// SPDX-License-Identifier: Apache-2.0
// A pack with a hostile index and hostile frames. The input is all between the magic and the footer, after
// two bytes that count frames and chunks; magic, footer and name are made right, or nothing would get past
// them.

#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/store/pack_file.h"

using namespace coldstart;

namespace {

/// Whatever the index says, only Error::corrupt may come of it.
template <class Use>
void use(Use how) {
  try {
    how();
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) std::abort();
  }
}

void read_all(const PackFile& pack) {
  for (uint32_t i = 0; i < pack.chunks().size(); ++i) {
    use([&] {
      const PackPlace place = pack.place(i);
      // The caps are what bounds this; most inputs that claim much would only make the fuzzer slow.
      if (place.frame.content > (1 << 20)) return;
      Bytes content(place.frame.content);
      pack.read_content(place.frame, content);
      Digest::of(ByteSpan(content).subspan(place.chunk.offset, place.chunk.length));
    });
    use([&] { pack.find(pack.chunks()[i].digest); });
  }
  for (const PackFrame& frame : pack.frames()) use([&] { pack.chunks_of(frame); });
  use([&] { pack.check_index(); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint32_t frames = data[0];
  const uint32_t chunks = data[1];
  const ByteSpan body(reinterpret_cast<const std::byte*>(data + 2), size - 2);
  const size_t index_bytes =
      frames * sizeof(PackFrame) + chunks * (sizeof(PackChunk) + sizeof(uint32_t) + sizeof(uint64_t));
  if (index_bytes > body.size()) return 0;

  Bytes file;
  append(file, std::as_bytes(std::span(pack_magic)));
  append(file, body.subspan(index_bytes));
  file.resize((file.size() + 7) / 8 * 8);
  PackFooter footer{
      Digest::of(body.first(index_bytes)), file.size(), frames, chunks, pack_version, 0, pack_magic};
  append(file, body.first(index_bytes));
  append(file, bytes_of(footer));

  static const TempDir folder("/dev/shm");
  const std::filesystem::path path = folder.path() / (footer.index_digest.hex() + ".pack");
  write_full(open_file(path, O_WRONLY | O_CREAT | O_TRUNC).get(), file);
  use([&] { read_all(PackFile(path)); });
  ::unlink(path.c_str());
  return 0;
}
