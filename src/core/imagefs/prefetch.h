// SPDX-License-Identifier: Apache-2.0
#pragma once
// How much of an image is brought into the local disk cache.

#include <map>
#include <string>

namespace coldstart {

enum class Prefetch {
  none,    ///< nothing
  opened,  ///< "auto": what the image's access trace names, and files that were opened
  all,     ///< that, and then the rest of the image
};

/// As on the command line.
inline const std::map<std::string, Prefetch> prefetch_names = {
    {"none", Prefetch::none}, {"auto", Prefetch::opened}, {"all", Prefetch::all}};

inline std::string to_string(Prefetch prefetch) {
  for (const auto& [name, value] : prefetch_names)
    if (value == prefetch) return name;
  return {};
}

}  // namespace coldstart
