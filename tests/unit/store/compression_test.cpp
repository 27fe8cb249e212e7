// SPDX-License-Identifier: Apache-2.0
#include "core/store/compression.h"

#include <random>

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/store/byte_planes.h"
#include "core/store/pack_file.h"
#include "store_fixture.h"

using namespace coldstart;

namespace {

constexpr int level = 3;

/// Weights as a model has them; `make` cuts a number of each.
template <class Number>
Bytes weights(size_t bytes, Number (*make)(uint32_t fp32)) {
  std::minstd_rand random(1);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<Number> numbers(bytes / sizeof(Number) + 1);
  for (Number& n : numbers) n = make(std::bit_cast<uint32_t>(normal(random)));
  const ByteSpan all = std::as_bytes(std::span(numbers)).first(bytes);
  return {all.begin(), all.end()};
}
Bytes bf16(size_t bytes) {
  return weights<uint16_t>(bytes, [](uint32_t n) { return static_cast<uint16_t>(n >> 16); });
}
Bytes fp16(size_t bytes) {  // of numbers that are neither too large nor too small for it
  return weights<uint16_t>(bytes, [](uint32_t n) {
    const uint32_t exponent = (n >> 23 & 0xff) < 113 ? 0 : (n >> 23 & 0xff) - 112;
    return static_cast<uint16_t>((n >> 16 & 0x8000) | exponent << 10 | (n >> 13 & 0x3ff));
  });
}
Bytes fp32(size_t bytes) {
  return weights<uint32_t>(bytes, [](uint32_t n) { return n; });
}
Bytes bf16_in_fp32(size_t bytes) {
  return weights<uint32_t>(bytes, [](uint32_t n) { return n & 0xffff0000; });
}

/// What is left of it, having come back as it was; 1 if it is not compressed.
double stored_share(const Bytes& content) {
  const std::optional<Bytes> stored = compress(content, level);
  if (!stored) return 1;
  CHECK(stored->size() < content.size());
  Bytes back(content.size());
  decompress(*stored, back);
  CHECK(back == content);
  return static_cast<double>(stored->size()) / static_cast<double>(content.size());
}

bool is_planes(const Bytes& content) {
  const std::optional<Bytes> stored = compress(content, level);
  return stored && as_text(ByteSpan(*stored).first(4)) == "csbp";
}

}  // namespace

TEST_CASE("compression: weights are stored as planes") {
  for (const size_t bytes : {size_t{1} << 20, (size_t{1} << 20) + 1, (size_t{1} << 20) + 3, size_t{100001}}) {
    CAPTURE(bytes);
    CHECK(stored_share(bf16(bytes)) < 0.70);
    CHECK(stored_share(fp16(bytes)) < 0.88);
    CHECK(stored_share(fp32(bytes)) < 0.86);
    CHECK(stored_share(bf16_in_fp32(bytes)) < 0.36);
    CHECK(is_planes(bf16(bytes)));
    CHECK(is_planes(fp16(bytes)));
    CHECK(is_planes(fp32(bytes)));
    CHECK(is_planes(bf16_in_fp32(bytes)));
  }
}

TEST_CASE("compression: the width of numbers") {
  CHECK(number_width(bf16(1 << 20)) == 2);
  CHECK(number_width(fp16(1 << 20)) == 2);
  CHECK(number_width(fp32(1 << 20)) == 4);
  CHECK(number_width(bf16_in_fp32(1 << 20)) == 4);
  CHECK(number_width({}) == 1);
  CHECK(number_width(bf16(1000)) == 1);
}

TEST_CASE("compression: what is no numbers is not taken apart") {
  for (const size_t bytes : {size_t{1}, size_t{5}, size_t{1000}, size_t{300000}}) {
    CAPTURE(bytes);
    for (const Bytes& content : {StoreFixture::text(bytes, 1), StoreFixture::noise(bytes, 1), Bytes(bytes)}) {
      CHECK(number_width(content) == 1);
      CHECK(stored_share(content) <= 1);
      CHECK(!is_planes(content));
    }
  }
  CHECK(!compress(StoreFixture::noise(300000, 1), level));
  // Noise that comes again and again is compressed by that.
  Bytes again;
  while (again.size() < 300000) append(again, StoreFixture::noise(10000, 2));
  CHECK(stored_share(again) < 0.1);
  // The program itself: machine code and tables.
  const FileMapping program(open_file("/proc/self/exe", O_RDONLY).get(), "this program");
  const size_t part = size_t{1} << 20;
  for (size_t at = 0; at + part <= program.bytes().size() && at < 16 * part; at += part)
    CHECK(number_width(program.bytes().subspan(at, part)) == 1);
}

TEST_CASE("compression: what was damaged is an error that says corrupt, or has the same size") {
  const Bytes content = bf16(40001);
  const Bytes stored = compress(content, level).value();
  Bytes out(content.size());
  const auto try_it = [&](ByteSpan damaged, MutableByteSpan to) {
    try {
      decompress(damaged, to);
      return true;
    } catch (const Error& e) {
      CHECK(e.exit() == Exit::corrupt);
      return false;
    }
  };
  CHECK(try_it(stored, out));
  for (size_t bytes = 0; bytes < stored.size(); ++bytes) {
    CAPTURE(bytes);
    REQUIRE(!try_it(ByteSpan(stored).first(bytes), out));
  }
  CHECK(!try_it(stored, MutableByteSpan(out).first(out.size() - 1)));
  CHECK(!try_it(stored, MutableByteSpan(out).first(3)));
  CHECK(!try_it(stored, {}));
  Bytes longer = stored;
  longer.push_back(std::byte{0});
  CHECK(!try_it(longer, out));
  for (size_t at = 0; at < 8 + 2 * sizeof(uint32_t); ++at)
    for (const int bits : {0x01, 0x80, 0xff}) {
      CAPTURE(at);
      Bytes damaged = stored;
      damaged[at] ^= static_cast<std::byte>(bits);
      CHECK(!try_it(damaged, out));
    }
}

TEST_CASE_FIXTURE(StoreFixture, "compression: a store's weights come back, and damage to them is found") {
  const Bytes content = bf16(300001);
  const Digest digest = put({content}).at(0);
  CHECK(store->read(digest) == content);
  CHECK(store->stored_size(digest) < content.size() * 7 / 10);
  const std::filesystem::path path = *std::filesystem::directory_iterator(packs());
  CHECK_NOTHROW(PackFile(path).check_index());
  Bytes bytes = read_file(path);
  for (const size_t at : {size_t{9}, size_t{12}, size_t{17}, size_t{1000}, size_t{180000}}) {
    CAPTURE(at);
    Bytes damaged = bytes;
    damaged[at] ^= std::byte{1};
    replace(path, damaged);
    CHECK_THROWS_AS(Store::open(store->root())->read(digest), Error);
  }
}
