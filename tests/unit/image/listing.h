// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a source yields, as text, so that two sources can be compared.

#include <algorithm>
#include <map>
#include <string>

#include "core/base/cancel.h"
#include "core/image/path.h"
#include "core/image/source.h"

namespace coldstart {

/// Path to everything the source says of it, contents (holes as zeros) included.
inline std::map<std::string, std::string> listing(TreeSource& source) {
  std::map<std::string, std::string> all;
  const CancelToken cancel;
  source.walk(
      [&](SourceEntry& e, const TreeSource::Read& read) {
        if (e.hard_link) {
          all[e.path] = "link to " + e.target;
          return;
        }
        const struct stat& st = e.stat;
        std::string text = std::to_string(st.st_mode) + " " + std::to_string(st.st_uid) + ":" +
                           std::to_string(st.st_gid) + " " + std::to_string(st.st_mtim.tv_sec) + "." +
                           std::to_string(st.st_mtim.tv_nsec) + " " + std::to_string(st.st_rdev) + " " +
                           e.target;
        std::sort(e.xattrs.begin(), e.xattrs.end());
        for (const auto& [name, value] : e.xattrs) text += " " + name + "=" + value;
        if (read) {
          std::string content(static_cast<size_t>(st.st_size), '\0');
          for (const DataRange& r : e.ranges)
            for (uint64_t at = r.offset; at < r.offset + r.length;)
              at += read(std::as_writable_bytes(std::span(content)).subspan(at, r.offset + r.length - at));
          text += " " + content;
        }
        all[e.path] = text;
      },
      cancel);
  return all;
}

/// Empty if both are the same; else the first path that differs, and how.
inline std::string difference(const std::map<std::string, std::string>& a,
                              const std::map<std::string, std::string>& b) {
  for (const auto& [path, text] : a) {
    const auto other = b.find(path);
    if (other == b.end()) return shown(path) + " is only in the first";
    if (other->second != text) return shown(path) + ": " + shown(text) + " | " + shown(other->second);
  }
  for (const auto& [path, text] : b)
    if (a.count(path) == 0) return shown(path) + " is only in the second";
  return {};
}

}  // namespace coldstart
