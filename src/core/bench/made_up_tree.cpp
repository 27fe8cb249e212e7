// SPDX-License-Identifier: Apache-2.0
#include "core/bench/made_up_tree.h"

#include <algorithm>
#include <random>

#include <fcntl.h>
#include <fmt/format.h>

#include "core/base/files.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t small_file = uint64_t{8} << 10;
constexpr uint64_t large_file = uint64_t{16} << 20;
constexpr uint64_t block = 4096;

/// Every other block is noise, the rest words: what real files are between.
void write_file(const fs::path& path, uint64_t bytes, std::mt19937_64& random) {
  const Fd file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  Bytes content;
  for (uint64_t done = 0; done < bytes; done += block) {
    const bool noise = done / block % 2 == 1;
    for (size_t i = 0; i < block; i += sizeof(uint64_t)) {
      const uint64_t value = noise ? random() : 0x6162636465666768 + random() % 16;
      append(content, bytes_of(value));
    }
    if (content.size() >= (size_t{1} << 20)) {
      write_full(file.get(), content);
      content.clear();
    }
  }
  write_full(file.get(), content);
}

}  // namespace

void make_up_tree(const fs::path& folder, uint64_t bytes, const CancelToken& cancel) {
  std::mt19937_64 random(1);
  const uint64_t small_files = std::max<uint64_t>(1, bytes / 3 / small_file);
  for (uint64_t i = 0; i < small_files; ++i) {
    cancel.check();
    const fs::path parent = folder / fmt::format("lib/part{:03}", i / 50);
    if (i % 50 == 0) make_folders(parent, 0755);
    write_file(parent / fmt::format("file{:05}.py", i), small_file / 2 + random() % small_file, random);
  }
  uint64_t left = bytes - std::min(bytes, small_files * small_file);
  for (uint64_t i = 0; left > 0; ++i) {
    cancel.check();
    const uint64_t size = std::min(left, large_file);
    write_file(folder / fmt::format("lib/library{:03}.so", i), size, random);
    left -= size;
  }
}

}  // namespace coldstart
