// SPDX-License-Identifier: Apache-2.0
#include "core/image/path.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/image/blob_check.h"

namespace coldstart {

namespace {

/// The length of the UTF-8 sequence that `text` begins with if it is a well-formed, printable one, else 0.
/// Overlong forms and surrogates are let through: they harm no terminal.
size_t printable_prefix(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
  const size_t length = lead >= 0xf8 ? 0 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  const bool control = lead == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
  return control ? 0 : length;
}

}  // namespace

std::string inner_path(std::string_view path) {
  std::string inner;
  size_t depth = 0;
  for (std::string_view rest = path; !rest.empty();) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view name = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (name.empty() || name == ".") continue;
    if (name == "..") throw Error::corrupt("the name " + shown(path) + " goes up with '..'");
    if (name.find('\0') != name.npos) throw Error::corrupt("the name " + shown(path) + " has a NUL in it");
    if (name.size() > max_name_bytes)
      throw Error::corrupt(fmt::format("the name {} is longer than {} bytes", shown(name), max_name_bytes));
    if (++depth > max_depth)
      throw Error::corrupt(fmt::format("{} is nested deeper than {} folders", shown(path), max_depth));
    if (!inner.empty()) inner += '/';
    inner += name;
  }
  return inner;
}

std::string shown(std::string_view path) {
  constexpr size_t longest = 400;
  if (path.empty()) return "/";
  std::string out;
  for (std::string_view rest = path; !rest.empty();) {
    if (out.size() > longest) return out + "…";
    const size_t length = printable_prefix(rest);
    if (length > 0)
      out += rest.substr(0, length);
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(rest[0]));
    rest.remove_prefix(std::max<size_t>(1, length));
  }
  return out;
}

std::string_view parent_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? std::string_view() : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? path : path.substr(slash + 1);
}

}  // namespace coldstart
