// SPDX-License-Identifier: Apache-2.0
#pragma once
// Mappings that a device driver pins once their process is restored: where a checkpoint of GPU state has left
// copies of device memory.
//
// The driver pins every page as one that will be written to, in one thread, and so makes of each that is not
// the process's own by then one that is: pages that nobody has touched, zeros, and pages of a shared copy,
// which it copies. That takes half a second a GB and more. So such mappings are not shared between replicas,
// and all their pages are brought before the process runs, by all processors, in huge pages.
//
// The list of them lies beside CRIU's images, as pinned.json: {"mappings": [[PID, START, END], …]}

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace coldstart {

struct PinnedMapping {
  uint32_t pid = 0;  ///< in the images
  uint64_t start = 0;
  uint64_t end = 0;
  bool operator==(const PinnedMapping&) const = default;
  auto operator<=>(const PinnedMapping&) const = default;
};

/// Whether one of them, which are in order of pid and address, has this address.
bool is_pinned(const std::vector<PinnedMapping>& mappings, uint32_t pid, uint64_t address);

/// Of images; none if they have no list. In order of pid and address. Throws Error::corrupt.
std::vector<PinnedMapping> read_pinned_list(const std::filesystem::path& images);
/// Of a list's text; `document` names it in errors.
std::vector<PinnedMapping> parse_pinned_list(std::string_view text, const std::string& document);
/// Beside images that have none yet.
void write_pinned_list(const std::filesystem::path& images, const std::vector<PinnedMapping>& mappings);

}  // namespace coldstart
