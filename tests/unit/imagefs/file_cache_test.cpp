// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/file_cache.h"

#include <atomic>
#include <thread>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

constexpr size_t chunk = 64 << 10;

Digest name(std::string_view text) {
  return Digest::of(as_bytes(text));
}

Bytes filled(size_t bytes, char with) {
  return Bytes(bytes, static_cast<std::byte>(with));
}

void put(FileCache& cache, const Digest& content, ByteSpan bytes) {
  REQUIRE(cache.reserve(bytes.size()));
  const FileCache::Piece piece{0, bytes};
  cache.put(content, bytes.size(), {&piece, 1});
}

fs::path file_of(const FileCache& cache, const Digest& content) {
  return cache.root() / "files" / content.hex().substr(0, 2) / content.hex();
}

struct Box {
  TempDir folder;
  FileCache cache{folder.path(), 1 << 20};
};

}  // namespace

TEST_CASE("a file that was put is found, by every process, and is sealed for good when it was flushed") {
  Box box;
  const Bytes bytes = filled(3 * chunk, 'a');
  put(box.cache, name("a"), bytes);
  CHECK_FALSE(box.cache.find(name("b"), bytes.size()));
  FileCache other(box.folder.path(), 1 << 20);
  for (int round = 0; round < 2; ++round) {
    const Fd file = other.find(name("a"), bytes.size());
    REQUIRE(file);
    Bytes back(bytes.size());
    CHECK(pread_full(file.get(), back, 0) == bytes.size());
    CHECK(back == bytes);
    struct stat status {};
    REQUIRE(::fstat(file.get(), &status) == 0);
    CHECK((status.st_mtim.tv_sec == 1) == (round == 1));
    box.cache.harden();
  }
}

TEST_CASE("a cached file that was touched is dropped, not believed") {
  Box box;
  const Bytes bytes = filled(chunk, 'a');
  SUBCASE("written to") {
    put(box.cache, name("a"), bytes);
    box.cache.harden();
    const Fd file = open_file(file_of(box.cache, name("a")), O_WRONLY);
    pwrite_full(file.get(), as_bytes("x"), 100);
  }
  SUBCASE("truncated") {
    put(box.cache, name("a"), bytes);
    REQUIRE(::truncate(file_of(box.cache, name("a")).c_str(), 100) == 0);
  }
  SUBCASE("sealed by a boot that is over") {
    put(box.cache, name("a"), bytes);
    const timespec times[2] = {{0, UTIME_NOW}, {12345, 0}};
    REQUIRE(::utimensat(AT_FDCWD, file_of(box.cache, name("a")).c_str(), times, 0) == 0);
  }
  CHECK_FALSE(box.cache.find(name("a"), bytes.size()));
  CHECK_FALSE(fs::exists(file_of(box.cache, name("a"))));
  put(box.cache, name("a"), bytes);
  CHECK(box.cache.find(name("a"), bytes.size()));
}

TEST_CASE("the cache stays within its limit: what was opened longest ago goes, what is in use stays") {
  Box box;
  const Bytes bytes = filled(128 << 10, 'a');
  for (int i = 0; i < 8; ++i) {
    put(box.cache, name(std::to_string(i)), bytes);
    const timespec times[2] = {{1'000'000 + i, 0}, {0, UTIME_OMIT}};
    REQUIRE(::utimensat(AT_FDCWD, file_of(box.cache, name(std::to_string(i))).c_str(), times, 0) == 0);
  }
  // Looked at as the kernel holds it: without find(), which would make it the latest.
  const Fd in_use = open_file(file_of(box.cache, name("0")), O_RDONLY);
  FileLock pin(file_of(box.cache, name("1")), FileLock::Mode::shared);
  put(box.cache, name("8"), bytes);
  CHECK_FALSE(fs::exists(file_of(box.cache, name("0"))));
  CHECK(fs::exists(file_of(box.cache, name("1"))));
  CHECK_FALSE(fs::exists(file_of(box.cache, name("2"))));
  CHECK(fs::exists(file_of(box.cache, name("7"))));
  CHECK(fs::exists(file_of(box.cache, name("8"))));
  CHECK(box.cache.bytes() <= box.cache.limit());
  CHECK_FALSE(box.cache.reserve(2 << 20));
}

TEST_CASE("the folder may vanish") {
  Box box;
  const Bytes bytes = filled(chunk, 'a');
  put(box.cache, name("a"), bytes);
  fs::remove_all(box.cache.root());
  CHECK_FALSE(box.cache.find(name("a"), bytes.size()));
  box.cache.harden();
  put(box.cache, name("a"), bytes);
  CHECK(box.cache.find(name("a"), bytes.size()));
}

TEST_CASE("a partial file") {
  Box box;
  const Digest content = name("p");
  const uint64_t size = 3 * chunk;
  CHECK(box.cache.partial(content, size, 3, false) == nullptr);
  auto writer = box.cache.partial(content, size, 3, true);
  REQUIRE(writer);
  REQUIRE(writer->lock());
  auto reader = box.cache.partial(content, size, 3, false);
  REQUIRE(reader);
  CHECK_FALSE(reader->lock());
  const Bytes bytes = filled(chunk, 'p');
  writer->write(std::vector<PartialFile::Piece>{{1, chunk, bytes}});
  CHECK_FALSE(reader->has(0));
  REQUIRE(reader->has(1));
  Bytes back(chunk);
  bool untouched = false;
  REQUIRE(reader->read(chunk, back, &untouched));
  CHECK(untouched);
  CHECK(back == bytes);

  SUBCASE("outlives its writer") {
    writer.reset();
    REQUIRE(reader->lock());
    CHECK(reader->has(1));
  }
  SUBCASE("is not believed once others have touched it") {
    pwrite_full(writer->fd(), as_bytes("x"), 0);
    REQUIRE(reader->read(chunk, back, &untouched));
    CHECK_FALSE(untouched);
    writer.reset();
    REQUIRE(reader->lock());
    CHECK_FALSE(reader->has(1));
  }
  SUBCASE("is not believed either once its writer goes on") {
    pwrite_full(writer->fd(), as_bytes("x"), chunk);
    writer->write(std::vector<PartialFile::Piece>{{2, 2 * chunk, bytes}});
    CHECK_FALSE(reader->has(1));
    REQUIRE(reader->has(2));
    REQUIRE(reader->read(2 * chunk, back, &untouched));
    CHECK(untouched);
    CHECK(back == bytes);
  }
  SUBCASE("is believed while it is being written") {
    std::atomic<bool> ended = false;
    const std::jthread writing([&] {
      for (int i = 0; i < 300; ++i) writer->write(std::vector<PartialFile::Piece>{{2, 2 * chunk, bytes}});
      ended = true;
    });
    size_t reads = 0, doubted = 0;
    while (!ended) {
      REQUIRE(reader->read(chunk, back, &untouched));
      ++reads;
      doubted += untouched ? 0 : 1;
    }
    CHECK(reads > 0);
    CHECK(doubted == 0);
  }
  SUBCASE("takes neighbours at once") {
    const Bytes first = filled(chunk, 'a');
    const Bytes second = filled(chunk, 'b');
    const Bytes third = filled(chunk, 'c');
    writer->write(std::vector<PartialFile::Piece>{{0, 0, first}, {1, chunk, second}, {2, 2 * chunk, third}});
    REQUIRE(reader->complete());
    for (const auto& [offset, want] : {std::pair{0U, &first}, {chunk, &second}, {2 * chunk, &third}}) {
      REQUIRE(reader->read(offset, back, &untouched));
      CHECK(untouched);
      CHECK(back == *want);
    }
  }
  SUBCASE("becomes a complete file") {
    CHECK_FALSE(writer->complete());
    writer->write(std::vector<PartialFile::Piece>{{0, 0, bytes}, {2, 2 * chunk, bytes}});
    REQUIRE(writer->complete());
    box.cache.seal(content, *writer);
    const Fd file = box.cache.find(content, size);
    REQUIRE(file);
    Bytes all(size);
    CHECK(pread_full(file.get(), all, 0) == size);
    CHECK(all == filled(size, 'p'));
    CHECK(box.cache.partial(content, size, 3, false) == nullptr);
    writer.reset();
    CHECK_FALSE(reader->lock());  // or it would write into the sealed file
  }
}
