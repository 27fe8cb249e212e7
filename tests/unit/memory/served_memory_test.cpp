// SPDX-License-Identifier: Apache-2.0
#include "core/memory/served_memory.h"

#include <doctest/doctest.h>

namespace coldstart {
namespace {

constexpr uint64_t P = page_size;
constexpr uint64_t MiB = uint64_t{1} << 20;

/// Two mappings full of the snapshot's pages, and one place that nothing is at.
struct Mapped {
  static constexpr uint64_t a = 16 * MiB, b = 32 * MiB, free = 64 * MiB, elsewhere = 128 * MiB;
  static constexpr uint64_t size = 8 * P;
  Mapped() {
    for (const uint64_t at : {a, b}) {
      map.add_mapping({at, size, at});
      map.pending.add({at, size, at});
    }
  }
  /// Which of the snapshot's pages is to come there; 0: none.
  uint64_t at(uint64_t address) const {
    const auto piece = map.pending.around(address, address, address + P);
    return piece ? piece->image : 0;
  }
  ServedMemory map;
};

TEST_CASE("served memory: a move takes what is pending along, and its echo is ignored") {
  Mapped m;
  m.map.moved({m.a, m.free, m.size});
  CHECK(m.at(m.a) == 0);
  CHECK(m.at(m.free + P) == m.a + P);
  m.map.moved({m.b, m.a, m.size});  // into the hole, before the move that made it was told to the end
  m.map.unmapped(m.a, m.a + m.size);
  CHECK(m.at(m.a) == m.b);
}

TEST_CASE("served memory: a move to a place that is taken waits for what frees it") {
  Mapped m;
  SUBCASE("a move") {
    m.map.moved({m.b, m.a, m.size});
    CHECK(m.map.waits());
    m.map.moved({m.a, m.free, m.size});
    CHECK(m.at(m.free) == m.a);
  }
  SUBCASE("an unmapping") {
    m.map.moved({m.b, m.a, m.size});
    m.map.unmapped(m.a, m.a + m.size);
  }
  SUBCASE("nothing, as a fork left it out") {
    m.map.moved({m.b, m.a, m.size});
    m.map.wait_no_longer();
  }
  CHECK_FALSE(m.map.waits());
  CHECK(m.at(m.a) == m.b);
  CHECK(m.at(m.b) == 0);
}

TEST_CASE("served memory: an unmapping of grown memory that is told after the move into its place") {
  // What was there had grown out of another mapping, so that nothing is known of it.
  Mapped m;
  m.map.moved({m.b, m.free, m.size});
  m.map.unmapped(m.free - 2 * P, m.free + 4 * P);
  CHECK(m.at(m.free) == m.b);
  CHECK(m.map.is_unsettled());
  SUBCASE("the kernel says that what moved is there") {
    m.map.settle([](uint64_t) { return true; });
    CHECK(m.at(m.free) == m.b);
    CHECK(m.at(m.free + 5 * P) == m.b + 5 * P);
  }
  SUBCASE("the kernel says that it is not") {
    m.map.settle([](uint64_t) { return false; });
    CHECK(m.at(m.free) == 0);
    CHECK(m.at(m.free + 3 * P) == 0);
    CHECK(m.at(m.free + 4 * P) == m.b + 4 * P);
  }
  SUBCASE("it has moved on, so it was there") {
    m.map.moved({m.free, m.elsewhere, m.size});
    m.map.settle([](uint64_t) { return false; });
    CHECK(m.at(m.elsewhere + P) == m.b + P);
  }
  CHECK_FALSE(m.map.is_unsettled());
}

TEST_CASE("served memory: once all was told an unmapping is what it says") {
  Mapped m;
  m.map.moved({m.b, m.free, m.size});
  m.map.unmapped(m.b, m.b + m.size);
  m.map.settle([](uint64_t) { return true; });
  m.map.unmapped(m.free, m.free + 2 * P);
  CHECK(m.at(m.free) == 0);
  CHECK(m.at(m.free + 2 * P) == m.b + 2 * P);
}

TEST_CASE("served memory: a child has what its parent has, but for what is not inherited") {
  Mapped m;
  m.map.moved({m.b, m.free, m.size});
  ServedMemory child = m.map.forked({{m.b, m.b + P}});
  CHECK_FALSE(child.pending.around(m.free, m.free, m.free + P));
  CHECK(child.pending.around(m.free + P, m.free, m.free + 2 * P)->image == m.b + P);
  CHECK(m.at(m.free) == m.b);
  // The echo of the parent's move is not told of the child.
  child.moved({m.a, m.b, m.size});
  child.unmapped(m.b, m.b + m.size);
  child.settle([](uint64_t) { return false; });
  CHECK_FALSE(child.pending.around(m.b, m.b, m.b + P));
}

TEST_CASE("served memory: a child has the moves that its own mappings show") {
  Mapped m;
  m.map.moved({m.a, m.free, m.size});
  const auto before = m.map.recent_moves();
  Mapped child;
  child.map = m.map.forked({});
  const ServedMemory::Move later{m.b, m.elsewhere, m.size};
  SUBCASE("as told: one before the fork, one after it") {
    child.map.take_moves(before, {later}, [&](uint64_t at) { return at == m.free || at == m.b; });
    CHECK(child.at(m.free) == m.a);
    CHECK(child.at(m.b) == m.b);
  }
  SUBCASE("the fork was before both") {
    child.map.take_moves(before, {later}, [&](uint64_t at) { return at == m.a || at == m.b; });
    CHECK(child.at(m.a) == m.a);
    CHECK(child.at(m.free) == 0);
    CHECK(child.at(m.b) == m.b);
  }
  SUBCASE("a child that was told late has them already") {
    child.map.take_moves(before, {before[0]}, [&](uint64_t at) { return at == m.free || at == m.b; });
    CHECK(child.at(m.free) == m.a);
  }
  SUBCASE("the fork was before two moves of the same") {
    m.map.moved({m.free, m.elsewhere, m.size});
    child.map = m.map.forked({});
    child.map.take_moves(m.map.recent_moves(), {}, [&](uint64_t at) { return at == m.a || at == m.b; });
    CHECK(child.at(m.a) == m.a);
    CHECK(child.at(m.elsewhere) == 0);
  }
  SUBCASE("the fork was after both") {
    child.map.take_moves(before, {later}, [&](uint64_t at) { return at == m.free || at == m.elsewhere; });
    CHECK(child.at(m.free) == m.a);
    CHECK(child.at(m.elsewhere) == m.b);
    CHECK(child.at(m.b) == 0);
  }
}

}  // namespace
}  // namespace coldstart
