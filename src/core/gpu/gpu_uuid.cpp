// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/gpu_uuid.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"

namespace coldstart {

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_text(const GpuUuid& uuid) {
  std::string text = "GPU-";
  for (size_t i = 0; i < uuid.bytes.size(); ++i)
    text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid.bytes[i]);
  return text;
}

std::optional<GpuUuid> parse_gpu_uuid(std::string_view text) {
  if (text.starts_with("GPU-")) text.remove_prefix(4);
  GpuUuid uuid;
  size_t nibble = 0;
  for (const char c : text) {
    if (c == '-') continue;
    const int value = hex_value(c);
    if (value < 0 || nibble == 2 * uuid.bytes.size()) return std::nullopt;
    uint8_t& byte = uuid.bytes[nibble / 2];
    byte = static_cast<uint8_t>(byte << 4 | value);
    ++nibble;
  }
  if (nibble != 2 * uuid.bytes.size()) return std::nullopt;
  return uuid;
}

GpuMap parse_gpu_map(std::string_view text) {
  GpuMap map;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    const size_t equals = one.find('=');
    const auto from = parse_gpu_uuid(one.substr(0, equals));
    const auto to = parse_gpu_uuid(equals == std::string_view::npos ? "" : one.substr(equals + 1));
    if (!from || !to)
      throw Error::usage(fmt::format("'{}' does not map a GPU to another", one),
                         "it is OLD_UUID=NEW_UUID[,…]; 'nvidia-smi -L' shows the UUIDs");
    const bool taken =
        std::any_of(map.begin(), map.end(), [&](const auto& pair) { return pair.second == *to; });
    if (taken || !map.emplace(*from, *to).second)
      throw Error::usage(fmt::format("'{}' names a GPU a second time", one));
  }
  return map;
}

std::string to_text(const GpuMap& map) {
  std::string text;
  for (const auto& [from, to] : map) text += (text.empty() ? "" : ",") + to_text(from) + "=" + to_text(to);
  return text;
}

}  // namespace coldstart
