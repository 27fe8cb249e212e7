// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pinned_list.h"

#include <algorithm>
#include <utility>

#include <fcntl.h>

#include "core/base/files.h"
#include "core/base/json.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr const char* file_name = "pinned.json";
constexpr size_t size_limit = size_t{16} << 20;
constexpr uint64_t page = 4096;

}  // namespace

std::vector<PinnedMapping> parse_pinned_list(std::string_view text, const std::string& document) {
  const Json json = parse_json(text, document);
  std::vector<PinnedMapping> mappings;
  for (const auto& one : field<std::vector<std::vector<uint64_t>>>(json, "mappings", document)) {
    const bool right = one.size() == 3 && std::in_range<uint32_t>(one[0]) && one[1] < one[2] &&
                       one[1] % page == 0 && one[2] % page == 0;
    if (!right) throw Error::corrupt(document + ": an entry is not [PID, START, END]");
    mappings.push_back({static_cast<uint32_t>(one[0]), one[1], one[2]});
  }
  std::sort(mappings.begin(), mappings.end());
  for (size_t i = 1; i < mappings.size(); ++i)
    if (mappings[i].pid == mappings[i - 1].pid && mappings[i].start < mappings[i - 1].end)
      throw Error::corrupt(document + ": mappings overlap");
  return mappings;
}

bool is_pinned(const std::vector<PinnedMapping>& mappings, uint32_t pid, uint64_t address) {
  const auto it = std::partition_point(mappings.begin(), mappings.end(), [&](const PinnedMapping& m) {
    return m.pid < pid || (m.pid == pid && m.end <= address);
  });
  return it != mappings.end() && it->pid == pid && it->start <= address;
}

std::vector<PinnedMapping> read_pinned_list(const fs::path& images) {
  const fs::path file = images / file_name;
  std::error_code failed;
  if (!fs::exists(file, failed)) return {};
  return parse_pinned_list(read_text(file, size_limit), file.string());
}

void write_pinned_list(const fs::path& images, const std::vector<PinnedMapping>& mappings) {
  Json list = Json::array();
  for (const PinnedMapping& m : mappings) list.push_back({m.pid, m.start, m.end});
  const Fd file = open_file(images / file_name, O_WRONLY | O_CREAT | O_EXCL);
  write_full(file.get(), as_bytes(Json{{"mappings", std::move(list)}}.dump()));
}

}  // namespace coldstart
