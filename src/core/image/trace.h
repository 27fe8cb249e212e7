// SPDX-License-Identifier: Apache-2.0
#pragma once
// Access traces: what a start of a program reads of an image, in the order in which it does for the first
// time. A trace is recorded as a text that names paths, so one that was recorded from an image can be given
// to the next version of it; kept with an image, it names extents by number.
//
//   coldstart trace 1
//   OFFSET LENGTH PATH       one a line; in PATH a newline is written \n, a backslash two of them

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/image/image.h"

namespace coldstart {

/// Neighbouring extents of one file.
struct TraceRange {
  uint32_t inode;
  uint32_t first;  ///< number of the extent in the file
  uint32_t count;
  bool operator==(const TraceRange&) const = default;
};
using AccessTrace = std::vector<TraceRange>;

inline constexpr std::string_view trace_text_header = "coldstart trace 1\n";
/// One line. `path` as from ImageReader: without a slash at the beginning.
std::string trace_line(uint64_t offset, uint64_t length, std::string_view path);
struct TraceLine {
  uint64_t offset;
  uint64_t length;
  std::string path;
};
/// Throws Error::corrupt, naming `document`, for what is no trace.
std::vector<TraceLine> parse_trace_lines(std::string_view text, const std::string& document);
/// The same as extents. Files that `image` does not have are left out; an extent counts once, where it comes
/// first.
AccessTrace parse_trace(std::string_view text, const ImageReader& image, const std::string& document);

/// The trace kept with an image; empty if it has none. Throws Error::corrupt if it leads out of the image.
AccessTrace read_trace(Store& store, const ImageManifest& manifest, const ImageReader& image);
/// The same tree with this trace instead of what it had: another image, as its manifest is another. Sets
/// `ref` if given. Gives the new image's digest.
Digest add_trace(const std::shared_ptr<Store>& store, const Digest& image, const AccessTrace& trace,
                 const std::optional<RefName>& ref, Operation& op);

/// The bytes that are kept, and back: checked against `image`.
Bytes encode_trace(const AccessTrace& trace);
AccessTrace decode_trace(ByteSpan bytes, const ImageReader& image);

}  // namespace coldstart
