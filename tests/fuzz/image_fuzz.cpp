// SPDX-License-Identifier: Apache-2.0
// An image's metadata blob: whatever passes the reader's checks, every accessor stays inside of it.

#include <cstdlib>

#include "core/base/error.h"
#include "core/image/reader.h"

using namespace coldstart;

namespace {

void read_all(const ImageReader& image) {
  size_t sum = 0;
  for (uint32_t number = 1; number <= image.inode_count(); ++number) {
    const InodeRecord& inode = image.inode(number);
    const auto type = inode.mode & 0170000;
    if (type == 0040000) {
      for (const EntryRecord& entry : image.entries(inode)) {
        if (!image.valid(entry.inode) || image.lookup(inode, image.name(entry)) != entry.inode) std::abort();
      }
    } else if (type == 0100000) {
      for (const ExtentRecord& extent : image.extents(inode)) sum += image.chunks()[extent.chunk].length;
      sum += image.extents(inode, inode.size / 2, 1).size();
    } else if (type == 0120000) {
      for (const char c : image.target(inode)) sum += static_cast<unsigned char>(c);
    }
    for (size_t i = 0; i < image.xattr_count(inode); ++i)
      for (const char c : image.xattr(inode, i).value) sum += static_cast<unsigned char>(c);
  }
  [[maybe_unused]] static volatile size_t sink;
  sink = sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    read_all(ImageReader(Bytes(bytes.begin(), bytes.end())));
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) std::abort();
  }
  return 0;
}
