// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/library_names.h"

#include <algorithm>

#include <sys/stat.h>

namespace coldstart {

namespace {

constexpr int most_links = 16;

bool is_library(std::string_view name) {
  const size_t at = name.rfind(".so");
  return at != std::string_view::npos && (at + 3 == name.size() || name[at + 3] == '.');
}

}  // namespace

LibraryNames::LibraryNames(const ImageReader& image) : image_(image) {
  for (uint32_t folder = root_inode; folder <= image_.inode_count(); ++folder) {
    const auto entries = image_.entries(image_.inode(folder));
    const auto beside = static_cast<uint32_t>(std::count_if(
        entries.begin(), entries.end(), [&](const EntryRecord& e) { return is_library(image_.name(e)); }));
    if (beside == 0) continue;
    for (const EntryRecord& entry : entries) {
      if (!is_library(image_.name(entry))) continue;
      const Place place{folder, entry.inode, beside};
      const auto [known, fresh] = places_.try_emplace(image_.name(entry), place);
      if (!fresh && known->second.beside < beside) known->second = place;
    }
  }
}

uint32_t LibraryNames::find(std::string_view name) const {
  const auto place = places_.find(name);
  return place == places_.end() ? 0 : follow(place->second);
}

uint32_t LibraryNames::follow(const Place& place) const {
  uint32_t folder = place.folder;
  uint32_t at = place.inode;
  for (int links = 0; links < most_links; ++links) {
    const InodeRecord& file = image_.inode(at);
    if (S_ISREG(file.mode)) return at;
    if (!S_ISLNK(file.mode)) return 0;
    std::string_view way = image_.target(file);
    if (way.starts_with('/')) folder = root_inode;
    for (at = folder; !way.empty() && at != 0;) {
      const size_t slash = std::min(way.find('/'), way.size());
      const std::string_view word = way.substr(0, slash);
      way.remove_prefix(std::min(slash + 1, way.size()));
      if (word.empty() || word == ".") continue;
      const InodeRecord& here = image_.inode(at);
      if (!S_ISDIR(here.mode)) return 0;  // or a symlink on the way: rare among libraries
      folder = at;
      at = word == ".." ? (at == root_inode ? at : here.parent) : image_.lookup(here, word);
    }
    if (at == 0) return 0;
  }
  return 0;
}

}  // namespace coldstart
