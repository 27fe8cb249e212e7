// SPDX-License-Identifier: Apache-2.0
#include "core/image/elf.h"

#include <algorithm>
#include <random>

#include <doctest/doctest.h>

#include "core/base/files.h"
#include "tiny_elf.h"

using namespace coldstart;

namespace {

std::vector<std::string> needs(const Bytes& file) {
  return needed_libraries([&](uint64_t offset, size_t bytes) {
    const ByteSpan all(file);
    if (offset >= all.size()) return Bytes();
    const ByteSpan part = all.subspan(offset, std::min<uint64_t>(bytes, all.size() - offset));
    return Bytes(part.begin(), part.end());
  });
}

}  // namespace

TEST_CASE("elf: the libraries of a program, in its order") {
  CHECK(needs(tiny_elf({"libb.so", "liba.so.6"})) == std::vector<std::string>{"libb.so", "liba.so.6"});
  CHECK(needs(tiny_elf({})).empty());
  const auto own = needs(read_file("/proc/self/exe"));
  CHECK(std::count(own.begin(), own.end(), "libc.so.6") == 1);
}

TEST_CASE("elf: what is no program, or not for us, or cut off, needs nothing") {
  CHECK_FALSE(is_elf(as_bytes("#!/bin/sh")));
  CHECK(needs(to_bytes("#!/bin/sh")).empty());
  CHECK(needs(to_bytes("\x7f"
                       "ELF"))
            .empty());
  const Bytes whole = tiny_elf({"liba.so"});
  CHECK(is_elf(whole));
  for (size_t size = 0; size < 2048; size += 7)
    CHECK(needs(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size))).empty());
  Bytes other = whole;
  other[EI_CLASS] = std::byte{ELFCLASS32};
  CHECK(needs(other).empty());
}

TEST_CASE("elf: damage gives other names at worst") {
  const Bytes whole = tiny_elf({"liba.so", "libb.so"});
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    Bytes damaged = whole;
    for (int i = 0; i < 4; ++i) damaged[random() % 400] = static_cast<std::byte>(random());
    for (int i = 0; i < 4; ++i) damaged[2048 + random() % 64] = static_cast<std::byte>(random());
    for (const std::string& name : needs(damaged)) CHECK(name.size() <= 256);
  }
}
