// SPDX-License-Identifier: Apache-2.0
#include "core/image/trace.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/blob.h"

using namespace coldstart;

namespace {

/// "a\n\\" with extents at 0, 100 and 200 (100 bytes each), "b" with one of 10 at 0; inodes 2 and 3.
ImageReader sample() {
  BlobSections s;
  for (uint8_t i = 0; i < 4; ++i) s.chunks.push_back({{i}, i == 3 ? 10U : 100U, 0});
  s.extents = {{0, 0, 0}, {100, 1, 0}, {200, 2, 0}, {0, 3, 0}};
  s.entries.push_back({2, 3, s.add_text("a\n\\")});
  s.entries.push_back({3, 1, s.add_text("b")});
  s.inodes.resize(3);
  s.inodes[0] = {.mode = S_IFDIR | 0755, .links = 2, .first = 0, .count = 2, .parent = 1};
  s.inodes[1] = {.mode = S_IFREG | 0644, .links = 1, .size = 300, .first = 0, .count = 3};
  s.inodes[2] = {.mode = S_IFREG | 0644, .links = 1, .size = 10, .first = 3, .count = 1};
  s.total_bytes = 310;
  return ImageReader(s.assemble());
}

}  // namespace

TEST_CASE("a trace as text names extents once, where they come first") {
  const ImageReader image = sample();
  std::string text(trace_text_header);
  text += trace_line(250, 10, "a\n\\");
  text += trace_line(0, 4096, "b");
  text += trace_line(0, 1000, "gone");
  text += trace_line(50, 100, "a\n\\");
  text += trace_line(0, 300, "a\n\\");
  CHECK(parse_trace(text, image, "t") == AccessTrace{{2, 2, 1}, {3, 0, 1}, {2, 0, 2}});
  CHECK(parse_trace(trace_text_header, image, "t").empty());
}

TEST_CASE("what is no trace is refused by line") {
  const ImageReader image = sample();
  CHECK_THROWS_WITH(parse_trace("", image, "t"), "t is no access trace");
  CHECK_THROWS_WITH(parse_trace("coldstart trace 2\n", image, "t"), "t is no access trace");
  for (const char* line : {"\n", "1\n", "1 2\n", "-1 2 b\n", "1 99999999999999999999 b\n", "x 1 b\n"})
    CHECK_THROWS_WITH(parse_trace(std::string(trace_text_header) + line, image, "t"),
                      "t, line 2: not 'OFFSET LENGTH PATH'");
}

TEST_CASE("a kept trace comes back, and cannot lead out of the image") {
  const ImageReader image = sample();
  const AccessTrace trace = {{2, 2, 1}, {3, 0, 1}, {2, 0, 2}};
  const Bytes bytes = encode_trace(trace);
  CHECK(decode_trace(bytes, image) == trace);
  CHECK_THROWS(decode_trace({}, image));
  CHECK_THROWS(decode_trace(ByteSpan(bytes).first(bytes.size() - 1), image));
  for (const TraceRange& wrong : {TraceRange{0, 0, 1}, TraceRange{1, 0, 1}, TraceRange{4, 0, 1},
                                  TraceRange{2, 3, 1}, TraceRange{2, 0, 0}, TraceRange{2, 1, UINT32_MAX}})
    CHECK_THROWS_AS(decode_trace(encode_trace({wrong}), image), Error);
}
