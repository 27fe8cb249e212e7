// SPDX-License-Identifier: Apache-2.0
#include "core/memory/pending_pages.h"

#include <map>
#include <random>

#include <doctest/doctest.h>

namespace coldstart {
namespace {

constexpr uint64_t P = page_size;

TEST_CASE("pending pages: a piece is found, taken in part, and its rest stays") {
  PendingPages pages;
  pages.add({16 * P, 8 * P, 116 * P});
  CHECK(pages.bytes() == 8 * P);
  CHECK(pages.next(0, 2 * P) == Piece{16 * P, 2 * P, 116 * P});
  CHECK(pages.next(20 * P, 64 * P) == Piece{20 * P, 4 * P, 120 * P});
  CHECK(pages.next(40 * P, P) == Piece{16 * P, P, 116 * P});
  CHECK(pages.around(18 * P, 17 * P, 20 * P) == Piece{17 * P, 3 * P, 117 * P});
  CHECK_FALSE(pages.around(15 * P, 0, 64 * P));
  CHECK_FALSE(pages.around(24 * P, 0, 64 * P));

  CHECK(pages.claim({18 * P, 2 * P, 118 * P}));
  CHECK_FALSE(pages.claim({18 * P, P, 118 * P}));
  CHECK_FALSE(pages.claim({17 * P, P, 118 * P}));  // other bytes
  CHECK_FALSE(pages.claim({17 * P, 2 * P, 117 * P}));
  CHECK(pages.bytes() == 6 * P);
  CHECK(pages.gap(18 * P, 0, 64 * P) == std::pair(18 * P, 20 * P));
  CHECK(pages.gap(30 * P, 25 * P, 64 * P) == std::pair(25 * P, 64 * P));
  CHECK(pages.overlaps(0, 17 * P));
  CHECK_FALSE(pages.overlaps(18 * P, 20 * P));
  CHECK_FALSE(pages.overlaps(24 * P, 25 * P));
}

TEST_CASE("pending pages: many are added to few, and few to many") {
  const auto few = [] {
    PendingPages pages;
    pages.add({4 * P, P, 104 * P});
    return pages;
  };
  const auto many = [] {
    PendingPages pages;
    for (uint64_t i = 8; i < 40; i += 2) pages.add({i * P, P, (100 + i) * P});
    return pages;
  };
  for (const bool few_first : {true, false}) {
    PendingPages pages = few_first ? few() : many();
    pages.add(few_first ? many() : few());
    CHECK(pages.bytes() == 17 * P);
    CHECK(pages.next(0, 64 * P) == Piece{4 * P, P, 104 * P});
    CHECK(pages.next(37 * P, 64 * P) == Piece{38 * P, P, 138 * P});
    pages.add(PendingPages());
    CHECK(pages.bytes() == 17 * P);
  }
}

/// Page by page: where it is now, and what it was.
std::map<uint64_t, uint64_t> pages_of(const PendingPages& pending) {
  std::map<uint64_t, uint64_t> pages;
  uint64_t from = 0;
  while (const auto piece = pending.next(from, P)) {
    if (piece->start < from) break;  // from the start again
    pages[piece->start / P] = piece->image / P;
    from = piece->end();
  }
  return pages;
}

TEST_CASE("pending pages: drops, moves and forks are as on single pages") {
  std::mt19937 random(7);
  const auto below = [&](uint64_t n) { return static_cast<uint64_t>(random()) % n; };
  for (int round = 0; round < 200; ++round) {
    PendingPages pending;
    std::map<uint64_t, uint64_t> model;
    for (uint64_t at = 0; at < 200;) {
      const uint64_t size = 1 + below(20);
      pending.add({at * P, size * P, (1000 + at) * P});
      for (uint64_t i = 0; i < size; ++i) model[at + i] = 1000 + at + i;
      at += size + below(5);
    }
    for (int step = 0; step < 20; ++step) {
      const uint64_t from = below(220);
      const uint64_t size = 1 + below(40);
      if (below(3) == 0) {
        pending.drop(from * P, (from + size) * P);
        std::erase_if(model, [&](const auto& e) { return e.first >= from && e.first < from + size; });
      } else if (below(8) == 0) {
        pending.drop_image((1000 + from) * P, (1000 + from + size) * P);
        std::erase_if(
            model, [&](const auto& e) { return e.second >= 1000 + from && e.second < 1000 + from + size; });
      } else {
        const uint64_t to = below(2) == 0 ? from + size + below(50) : 300 + below(50);
        std::map<uint64_t, uint64_t> moved;
        for (uint64_t i = 0; i < size; ++i)
          if (model.contains(from + i)) moved[to + i] = model[from + i];
        std::erase_if(model, [&](const auto& e) {
          return (e.first >= from && e.first < from + size) || (e.first >= to && e.first < to + size);
        });
        model.merge(moved);
        pending.move(from * P, to * P, size * P);
      }
      const PendingPages forked = pending;
      REQUIRE(pages_of(forked) == model);
      REQUIRE(forked.bytes() == model.size() * P);
    }
  }
}

}  // namespace
}  // namespace coldstart
