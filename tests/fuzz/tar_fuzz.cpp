// SPDX-License-Identifier: Apache-2.0
// A hostile tar: whatever the source lets through makes a tree whose blob passes the reader's checks. The
// checksums of headers are made right, or nothing would get past them.

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <sys/mman.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/image/reader.h"
#include "core/image/source.h"
#include "core/image/tree.h"

using namespace coldstart;

namespace {

constexpr size_t most_bytes = size_t{1} << 20;  // of each file: sparse ones claim to be huge

void right_checksums(Bytes& tar) {
  constexpr size_t block = 512;
  for (size_t at = 0; at + block <= tar.size(); at += block) {
    if (std::memcmp(&tar[at + 257], "ustar", 5) != 0) continue;
    std::fill_n(tar.begin() + static_cast<ptrdiff_t>(at) + 148, 8, std::byte{' '});
    unsigned sum = 0;
    for (size_t i = 0; i < block; ++i) sum += std::to_integer<unsigned>(tar[at + i]);
    std::snprintf(reinterpret_cast<char*>(&tar[at + 148]), 8, "%06o", sum);
  }
}

void take(ImageTree& tree, SourceEntry& entry, const TreeSource::Read& read) {
  tree.add(entry);
  if (!read) return;
  Bytes some(4096);
  size_t all = 0;
  while (all < most_bytes) {
    const size_t n = read(some);
    if (n == 0) break;
    if (n > some.size()) std::abort();
    all += n;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Fd fd(::memfd_create("tar", MFD_CLOEXEC));
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  Bytes tar(bytes, bytes + size);
  right_checksums(tar);
  write_full(fd.get(), tar);
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) std::abort();
  ImageTree tree;
  const CancelToken cancel;
  try {
    open_tar_source(fd.get(), "it")
        ->walk([&](auto& entry, const auto& read) { take(tree, entry, read); }, cancel);
  } catch (const Error&) {
    return 0;
  }
  try {
    const ImageReader image(tree.finish().assemble());
    if (image.inode_count() == 0) std::abort();
  } catch (const Error& e) {
    if (e.message().find("2^64") == std::string::npos) std::abort();
  }
  return 0;
}
