// SPDX-License-Identifier: Apache-2.0
// An image's access trace, as it is kept and as it is recorded: what is accepted leads into the image's
// files, and stays the same when it is kept and read again.

#include <cstdlib>

#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/blob.h"
#include "core/image/trace.h"

using namespace coldstart;

namespace {

/// A folder with "a\n\\" (inode 2), of three extents of 100 bytes, "b" (3), of one of 10 behind a hole, an
/// empty file "c" (4) and a symlink "d" (5).
ImageReader sample() {
  BlobSections s;
  for (uint8_t i = 0; i < 4; ++i) s.chunks.push_back({{i}, i == 3 ? 10U : 100U, 0});
  s.extents = {{0, 0, 0}, {100, 1, 0}, {200, 2, 0}, {4096, 3, 0}};
  uint32_t inode = 2;
  for (const std::string_view name : {"a\n\\", "b", "c", "d"}) {
    const auto length = static_cast<uint32_t>(name.size());
    s.entries.push_back({inode++, length, s.add_text(name)});
  }
  s.inodes.resize(5);
  s.inodes[0] = {.mode = S_IFDIR | 0755, .links = 2, .first = 0, .count = 4, .parent = 1};
  s.inodes[1] = {.mode = S_IFREG | 0644, .links = 1, .size = 300, .first = 0, .count = 3};
  s.inodes[2] = {.mode = S_IFREG | 0644, .links = 1, .size = 5000, .first = 3, .count = 1};
  s.inodes[3] = {.mode = S_IFREG | 0644, .links = 1, .first = 4};
  s.inodes[4] = {.mode = S_IFLNK | 0777, .links = 1, .size = 1, .first = s.add_text("b")};
  s.total_bytes = 5300;
  return ImageReader(s.assemble());
}

void check(const AccessTrace& trace, const ImageReader& image) {
  for (const TraceRange& range : trace) {
    const auto extents = image.extents(image.inode(range.inode));
    if (extents.subspan(range.first, range.count).empty()) std::abort();
    for (const ExtentRecord& extent : extents.subspan(range.first, range.count))
      if (image.chunks()[extent.chunk].length == 0) std::abort();
  }
  if (decode_trace(encode_trace(trace), image) != trace) std::abort();
}

/// Nothing, or an Error that says that the trace is corrupt.
template <class Use>
void use(Use how) {
  try {
    how();
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ImageReader image = sample();
  const auto bytes = std::as_bytes(std::span(data, size));
  use([&] { check(decode_trace(bytes, image), image); });
  use([&] { check(parse_trace(as_text(bytes), image, "input"), image); });
  return 0;
}
