// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/file_reader.h"

#include <atomic>
#include <cerrno>
#include <string>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/blob.h"

using namespace coldstart;

namespace {

/// /dir/file: a hole of 100, 'a' * 50, 'b' * 30, a hole of 120000, 'c' * 10, a hole of 5.
constexpr uint64_t file_size = 100 + 50 + 30 + 120000 + 10 + 5;
constexpr uint32_t file_inode = 3;

ImageReader sample() {
  BlobSections s;
  for (uint8_t i = 0; i < 3; ++i) {
    ChunkRecord chunk{};
    chunk.digest[0] = static_cast<uint8_t>('a' + i);
    chunk.length = i == 0 ? 50 : i == 1 ? 30 : 10;
    s.chunks.push_back(chunk);
  }
  s.extents = {{100, 0, 0}, {150, 1, 0}, {120180, 2, 0}};
  s.entries.push_back({2, 3, s.add_text("dir")});
  s.entries.push_back({3, 4, s.add_text("file")});
  s.inodes.resize(3);
  s.inodes[0] = {.mode = S_IFDIR | 0755, .links = 3, .first = 0, .count = 1, .parent = 1};
  s.inodes[1] = {.mode = S_IFDIR | 0755, .links = 2, .first = 1, .count = 1, .parent = 1};
  s.inodes[2] = {.mode = S_IFREG | 0644, .links = 1, .size = file_size, .first = 0, .count = 3};
  s.total_bytes = file_size;
  return ImageReader(s.assemble());
}

std::string whole_file() {
  return std::string(100, '\0') + std::string(50, 'a') + std::string(30, 'b') + std::string(120000, '\0') +
         std::string(10, 'c') + std::string(5, '\0');
}

void give_letters(const ChunkRecord& wanted, const ChunkCache::Keep& keep) {
  keep(Digest{wanted.digest}, Bytes(wanted.length, static_cast<std::byte>(wanted.digest[0])));
}

std::string text(const Gather& gather) {
  std::string all;
  for (const iovec& piece : gather.pieces)
    all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  CHECK(all.size() == gather.bytes);
  return all;
}

}  // namespace

TEST_CASE("any range of a file with holes reads as it should") {
  const ImageReader image = sample();
  ImageMetrics metrics;
  ChunkCache chunks(1000, give_letters);
  FileReader reader(image, chunks, nullptr, metrics);
  const std::string want = whole_file();
  REQUIRE(want.size() == file_size);
  for (const uint64_t from :
       {0U, 1U, 99U, 100U, 101U, 149U, 150U, 179U, 180U, 181U, 70000U, 120179U, 120180U, 120189U, 120190U})
    for (const size_t size : {1U, 2U, 49U, 50U, 51U, 80U, 82U, 5000U, 120000U, 1U << 20})
      CHECK_MESSAGE(text(reader.read(file_inode, from, size)) == want.substr(from, size),
                    from << " + " << size);
  CHECK(reader.read(file_inode, file_size, 10).bytes == 0);
  CHECK(reader.read(file_inode, uint64_t{1} << 62, 10).bytes == 0);
}

TEST_CASE("a read over several chunks fails if one of them does, and works when that one does again") {
  const ImageReader image = sample();
  std::atomic<bool> broken = true;
  ImageMetrics metrics;
  ChunkCache chunks(1000, [&](const ChunkRecord& wanted, const ChunkCache::Keep& keep) {
    if (broken && wanted.digest[0] == 'b') throw Error::corrupt("flipped");
    give_letters(wanted, keep);
  });
  FileReader reader(image, chunks, nullptr, metrics);
  for (int i = 0; i < 20; ++i) CHECK_THROWS_WITH(reader.read(file_inode, 0, file_size), "flipped");
  CHECK(text(reader.read(file_inode, 0, 150)) == whole_file().substr(0, 150));
  broken = false;
  CHECK(text(reader.read(file_inode, 0, file_size)) == whole_file());
}

TEST_CASE("seeking finds data and holes as lseek(2) says") {
  const ImageReader image = sample();
  ImageMetrics metrics;
  ChunkCache chunks(1000, give_letters);
  FileReader reader(image, chunks, nullptr, metrics);
  const InodeRecord& file = image.inode(file_inode);
  const auto data = [&](uint64_t from) { return reader.seek(file, from, true); };
  const auto hole = [&](uint64_t from) { return reader.seek(file, from, false); };
  CHECK(data(0) == 100);
  CHECK(data(120) == 120);
  CHECK(data(160) == 160);
  CHECK(data(180) == 120180);
  CHECK(data(120190) == -ENXIO);
  CHECK(data(file_size) == -ENXIO);
  CHECK(hole(0) == 0);
  CHECK(hole(100) == 180);
  CHECK(hole(155) == 180);
  CHECK(hole(500) == 500);
  CHECK(hole(120180) == 120190);
  CHECK(hole(file_size) == -ENXIO);
  CHECK(reader.allocated(file) == 90);
}

TEST_CASE("an inode's path is found for messages") {
  const ImageReader image = sample();
  CHECK(path_in_image(image, 1) == "/");
  CHECK(path_in_image(image, 2) == "/dir");
  CHECK(path_in_image(image, 3) == "/dir/file");
}
