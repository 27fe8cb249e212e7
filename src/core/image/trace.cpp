// SPDX-License-Identifier: Apache-2.0
#include "core/image/trace.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <sys/stat.h>

#include "core/base/error.h"

namespace coldstart {

namespace {

constexpr std::array<char, 8> trace_magic = {'c', 's', 't', 'r', 'a', 'c', 'e', '\1'};
constexpr size_t max_trace_bytes = size_t{64} << 20;  // as of any chunk

/// Number up to the next blank, which is taken away with it.
bool take_number(std::string_view& line, uint64_t& number) {
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  if (error != std::errc() || end == line.data() + line.size() || *end != ' ') return false;
  line.remove_prefix(static_cast<size_t>(end - line.data()) + 1);
  return true;
}

std::string unescaped(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\\' && i + 1 < text.size())
      result += text[++i] == 'n' ? '\n' : text[i];
    else
      result += text[i];
  return result;
}

/// Adds extents that are not in it yet.
class Collector {
 public:
  explicit Collector(const ImageReader& image) : image_(image) {}

  void add(uint32_t inode, uint64_t offset, uint64_t length) {
    const InodeRecord& file = image_.inode(inode);
    const auto range = image_.extents(file, offset, length);
    if (range.empty()) return;
    const auto first = static_cast<uint64_t>(range.data() - image_.extents(file).data());
    for (uint64_t i = first; i < first + range.size(); ++i) {
      const uint64_t number = file.first + i;
      if (number >= seen_.size()) seen_.resize(number + 1);
      if (seen_[number]) continue;
      seen_[number] = true;
      append(inode, static_cast<uint32_t>(i));
    }
  }
  AccessTrace take() { return std::move(trace_); }

 private:
  void append(uint32_t inode, uint32_t extent) {
    if (!trace_.empty()) {
      TraceRange& last = trace_.back();
      if (last.inode == inode && last.first + last.count == extent) {
        ++last.count;
        return;
      }
    }
    trace_.push_back({inode, extent, 1});
  }

  const ImageReader& image_;
  AccessTrace trace_;
  std::vector<bool> seen_;  // by the extent's number in the image
};

}  // namespace

std::string trace_line(uint64_t offset, uint64_t length, std::string_view path) {
  std::string line = fmt::format("{} {} ", offset, length);
  for (const char c : path)
    if (c == '\n')
      line += "\\n";
    else
      line.append(c == '\\' ? 2 : 1, c);
  return line + '\n';
}

std::vector<TraceLine> parse_trace_lines(std::string_view text, const std::string& document) {
  if (!text.starts_with(trace_text_header)) throw Error::corrupt(document + " is no access trace");
  text.remove_prefix(trace_text_header.size());
  std::vector<TraceLine> lines;
  for (size_t number = 2; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    uint64_t offset = 0, length = 0;
    if (!take_number(line, offset) || !take_number(line, length))
      throw Error::corrupt(fmt::format("{}, line {}: not 'OFFSET LENGTH PATH'", document, number));
    lines.push_back({offset, length, unescaped(line)});
  }
  return lines;
}

AccessTrace parse_trace(std::string_view text, const ImageReader& image, const std::string& document) {
  Collector collector(image);
  for (const TraceLine& line : parse_trace_lines(text, document))
    if (const uint32_t inode = image.find(line.path); inode != 0)
      collector.add(inode, line.offset, line.length);
  return collector.take();
}

Bytes encode_trace(const AccessTrace& trace) {
  const ByteSpan ranges = std::as_bytes(std::span(trace));
  Bytes bytes(trace_magic.size() + ranges.size());
  std::copy_n(std::as_bytes(std::span(trace_magic)).begin(), trace_magic.size(), bytes.begin());
  std::copy(ranges.begin(), ranges.end(), bytes.begin() + trace_magic.size());
  return bytes;
}

AccessTrace decode_trace(ByteSpan bytes, const ImageReader& image) {
  const auto bad = [](const char* why) {
    throw Error::corrupt(std::string("the image's access trace: ") + why);
  };
  if (bytes.size() < trace_magic.size() ||
      !std::equal(trace_magic.begin(), trace_magic.end(), reinterpret_cast<const char*>(bytes.data())))
    bad("it does not begin as such");
  bytes = bytes.subspan(trace_magic.size());
  if (bytes.size() % sizeof(TraceRange) != 0) bad("it is cut off");
  AccessTrace trace(bytes.size() / sizeof(TraceRange));
  if (!trace.empty()) std::memcpy(trace.data(), bytes.data(), bytes.size());
  for (const TraceRange& range : trace) {
    if (!image.valid(range.inode) || !S_ISREG(image.inode(range.inode).mode)) bad("it leads to no file");
    const size_t extents = image.extents(image.inode(range.inode)).size();
    if (range.first >= extents || range.count == 0 || range.count > extents - range.first)
      bad("it leads out of a file");
  }
  return trace;
}

AccessTrace read_trace(Store& store, const ImageManifest& manifest, const ImageReader& image) {
  if (!manifest.trace) return {};
  return decode_trace(store.read(*manifest.trace), image);
}

Digest add_trace(const std::shared_ptr<Store>& store, const Digest& image, const AccessTrace& trace,
                 const std::optional<RefName>& ref, Operation& op) {
  Bytes bytes = encode_trace(trace);
  if (bytes.size() > max_trace_bytes) throw Error("the access trace is too long to be kept with an image");
  ImageManifest manifest = read_image_manifest(*store, image);
  PackWriter writer(store, {}, op);
  manifest.trace = writer.put_now(std::move(bytes));
  const Digest digest = writer.put_now(to_bytes(manifest.to_json()));
  writer.finish();
  if (ref) store->set_ref(RefKind::image, *ref, digest);
  return digest;
}

}  // namespace coldstart
