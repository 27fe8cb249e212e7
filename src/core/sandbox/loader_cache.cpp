// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/loader_cache.h"

#include <algorithm>
#include <array>
#include <map>

#include "core/base/error.h"

namespace coldstart {

namespace {

constexpr std::string_view old_magic = "ld.so-1.7.0";
constexpr std::string_view magic = "glibc-ld.so.cache1.1";
constexpr uint32_t x86_64_glibc = 0x0303;
constexpr uint8_t little_endian = 2;
constexpr uint32_t extensions_magic = 0xeaa42174;
constexpr uint32_t hardware_names_tag = 1;
constexpr size_t most_hardware_names = 64;  // glibc has no more bits for them

struct OldHeader {
  std::array<char, 12> magic;  // padded
  uint32_t libraries;
};
constexpr size_t old_library_bytes = 12;
constexpr size_t most_text_length = 4096;
/// Of all texts together: they may overlap in a hostile file.
constexpr size_t most_text_bytes = size_t{16} << 20;

struct Header {
  std::array<char, 20> magic;
  uint32_t libraries;
  uint32_t string_bytes;
  uint8_t flags;
  std::array<uint8_t, 3> padding;
  uint32_t extensions;  // where in the file they are, or 0
  std::array<uint32_t, 3> unused;
};
static_assert(sizeof(Header) == 48);

struct Entry {
  uint32_t flags;
  uint32_t name, path;  // from where the header begins
  uint32_t os_version;
  uint64_t hardware;
};
static_assert(sizeof(Entry) == 24);

struct Extensions {
  uint32_t magic;
  uint32_t count;
};
struct Extension {
  uint32_t tag;
  uint32_t flags;
  uint32_t at;  // in the file
  uint32_t bytes;
};

[[noreturn]] void broken(const std::string& why) {
  throw Error::corrupt("the loader's cache is damaged: " + why);
}

template <class T>
T at(ByteSpan cache, uint64_t offset) {
  if (offset > cache.size() || cache.size() - offset < sizeof(T)) broken("a record lies outside of it");
  return load<T>(cache.data() + offset);
}

std::string text_at(ByteSpan cache, uint32_t offset) {
  if (offset >= cache.size()) broken("a text lies outside of it");
  const std::string_view rest = as_text(cache.subspan(offset)).substr(0, most_text_length + 1);
  const size_t end = rest.find('\0');
  if (end == std::string_view::npos) broken("a text has no end near");
  return std::string(rest.substr(0, end));
}

/// The part in the new format.
ByteSpan new_format(ByteSpan file) {
  if (!as_text(file).starts_with(old_magic)) return file;
  const uint64_t old = sizeof(OldHeader) + uint64_t{at<OldHeader>(file, 0).libraries} * old_library_bytes;
  const uint64_t begin = (old + 7) / 8 * 8;
  if (begin > file.size()) broken("it is too short");
  return file.subspan(begin);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The number at the beginning of `text`, which is taken off it. It may be longer than any integer.
std::string_view take_number(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string_view number = text.substr(0, end);
  text.remove_prefix(end);
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  return number;
}

/// Whether the loader, which searches by halves, expects `a` before `b`: from the last to the first, where a
/// number counts as one.
bool comes_first(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const std::string_view x = take_number(a);
      const std::string_view y = take_number(b);
      if (x.size() != y.size()) return x.size() > y.size();
      if (x != y) return x > y;
    } else if (is_digit(a.front()) != is_digit(b.front())) {
      return is_digit(a.front());
    } else if (a.front() != b.front()) {
      return a.front() > b.front();
    } else {
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  return !a.empty();
}

/// Each text once, and where it will stand.
class Texts {
 public:
  explicit Texts(size_t begin) : begin_(begin) {}
  uint32_t add(const std::string& text) {
    const auto [found, added] = places_.try_emplace(text, static_cast<uint32_t>(begin_ + bytes_.size()));
    if (added) {
      append(bytes_, as_bytes(text));
      bytes_.push_back(std::byte{0});
    }
    return found->second;
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  const size_t begin_;
  std::map<std::string, uint32_t> places_;
  Bytes bytes_;
};

}  // namespace

LoaderCache::LoaderCache(ByteSpan file) {
  const ByteSpan cache = new_format(file);
  const auto header = at<Header>(cache, 0);
  if (std::string_view(header.magic.data(), header.magic.size()) != magic) broken("it does not start as one");
  if (uint64_t{header.libraries} * sizeof(Entry) > cache.size() - sizeof header)
    broken("it has not as many libraries as it says");
  size_t text_bytes = 0;
  for (uint32_t i = 0; i < header.libraries; ++i) {
    const auto entry = at<Entry>(cache, sizeof header + uint64_t{i} * sizeof(Entry));
    libraries_.push_back({entry.flags, entry.os_version, entry.hardware, text_at(cache, entry.name),
                          text_at(cache, entry.path)});
    text_bytes += libraries_.back().name.size() + libraries_.back().path.size();
    if (text_bytes > most_text_bytes) broken("its texts are too long");
  }
  if (header.extensions != 0) take_extensions(file, cache, header.extensions);
}

void LoaderCache::take_extensions(ByteSpan file, ByteSpan cache, uint32_t where) {
  const auto extensions = at<Extensions>(file, where);
  if (extensions.magic != extensions_magic) broken("its extensions do not start as such");
  for (uint32_t i = 0; i < extensions.count; ++i) {  // ends at the file's end, if not before
    const auto extension = at<Extension>(file, where + sizeof extensions + uint64_t{i} * sizeof(Extension));
    if (extension.tag != hardware_names_tag) continue;
    if (extension.bytes > most_hardware_names * sizeof(uint32_t)) broken("it has too many names of hardware");
    for (uint32_t n = 0; n < extension.bytes / sizeof(uint32_t); ++n)
      hardware_names_.push_back(
          text_at(cache, at<uint32_t>(file, extension.at + uint64_t{n} * sizeof(uint32_t))));
  }
}

void LoaderCache::add(const std::string& name, const std::string& path) {
  std::erase_if(libraries_, [&](const Library& l) { return l.name == name && l.flags == x86_64_glibc; });
  const auto before = std::find_if(libraries_.begin(), libraries_.end(),
                                   [&](const Library& l) { return !comes_first(l.name, name); });
  libraries_.insert(before, Library{x86_64_glibc, 0, 0, name, path});
}

std::string LoaderCache::find(const std::string& name) const {
  for (const Library& l : libraries_)
    if (l.name == name && l.flags == x86_64_glibc) return l.path;
  return {};
}

Bytes LoaderCache::file() const {
  Texts texts(sizeof(Header) + libraries_.size() * sizeof(Entry));
  Bytes entries;
  for (const Library& l : libraries_)
    append(entries, bytes_of(Entry{l.flags, texts.add(l.name), texts.add(l.path), l.os_version, l.hardware}));
  Bytes names;
  for (const std::string& name : hardware_names_) append(names, bytes_of(texts.add(name)));

  Header header{};
  std::copy(magic.begin(), magic.end(), header.magic.begin());
  header.libraries = static_cast<uint32_t>(libraries_.size());
  header.string_bytes = static_cast<uint32_t>(texts.bytes().size());
  header.flags = little_endian;
  const size_t strings_end = sizeof header + entries.size() + texts.bytes().size();
  const auto aligned = static_cast<uint32_t>((strings_end + 3) / 4 * 4);
  if (!names.empty()) header.extensions = aligned;

  Bytes file;
  for (const ByteSpan part : {bytes_of(header), ByteSpan(entries), ByteSpan(texts.bytes())})
    append(file, part);
  if (names.empty()) return file;
  file.resize(aligned);
  const auto names_at = static_cast<uint32_t>(aligned + sizeof(Extensions) + sizeof(Extension));
  append(file, bytes_of(Extensions{extensions_magic, 1}));
  append(file, bytes_of(Extension{hardware_names_tag, 0, names_at, static_cast<uint32_t>(names.size())}));
  append(file, names);
  return file;
}

}  // namespace coldstart
