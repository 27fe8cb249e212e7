// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/weights_files.h"

#include <doctest/doctest.h>

#include "../store/store_fixture.h"

using namespace coldstart;

namespace {

constexpr size_t cell = 1000;

/// Five chunks; the third is a hole.
struct Weights : StoreFixture {
  Weights() {
    PackWriter writer(store, {}, op);
    for (size_t i = 0; i < 5; ++i) {
      const Bytes bytes(cell, static_cast<std::byte>(i + 1));
      if (i != 2) file.cells.push_back({i * cell, cell, writer.put_now(bytes)});
    }
    writer.finish();
    file.name = "weights";
    file.bytes = 5 * cell;
  }
  /// "1234" of bytes that begin a cell each, '0' for zeros.
  bool is_right(uint64_t at, size_t size) {
    Bytes bytes(size, std::byte{0xff});
    read_weights(*store, file, at, bytes);
    for (size_t i = 0; i < size; ++i) {
      const uint64_t number = (at + i) / cell;
      if (bytes[i] != static_cast<std::byte>(number == 2 ? 0 : number + 1)) return false;
    }
    return true;
  }
  WeightsFile file;
};

}  // namespace

TEST_CASE("weights files: any part is read, and holes are zeros") {
  Weights w;
  CHECK(w.is_right(0, 5 * cell));
  CHECK(w.is_right(0, cell));
  CHECK(w.is_right(1, cell - 2));
  CHECK(w.is_right(cell - 1, 2));
  CHECK(w.is_right(cell + 7, 3 * cell));
  CHECK(w.is_right(2 * cell + 1, cell - 2));
  CHECK(w.is_right(5 * cell - 1, 1));
  CHECK(w.is_right(3, 0));
}

TEST_CASE("weights files: one that is there as a whole is read, and nothing else is") {
  Weights w;
  for (WeightsFile::Cell& c : w.file.cells) c.digest = Digest::of({});
  const auto path = w.folder.path() / "whole";
  Bytes bytes = StoreFixture::noise(5 * cell, 1);
  write_file_atomic(path, bytes);
  w.file.whole = std::make_shared<const Fd>(open_file(path, O_RDONLY));
  Bytes read(2 * cell);
  read_weights(*w.store, w.file, cell / 2, read);
  CHECK(std::equal(read.begin(), read.end(), bytes.begin() + cell / 2));
  CHECK_THROWS_AS(read_weights(*w.store, w.file, 4 * cell, read), Error);  // it became shorter
}

TEST_CASE("weights files: what is read at once ends with a chunk where that can be") {
  const Weights w;
  CHECK(whole_chunks(w.file, 0, 2 * cell) == 2 * cell);
  CHECK(whole_chunks(w.file, 0, 2 * cell - 1) == cell);
  CHECK(whole_chunks(w.file, 10, 2 * cell) == 2 * cell);          // it ends in the hole
  CHECK(whole_chunks(w.file, 3 * cell + 10, cell) == cell - 10);  // the rest of its first
  CHECK(whole_chunks(w.file, 10, 100) == 100);                    // within one
  CHECK(whole_chunks(w.file, 4 * cell, 9 * cell) == 9 * cell);    // behind the end
}
