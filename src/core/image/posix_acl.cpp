// SPDX-License-Identifier: Apache-2.0
#include "core/image/posix_acl.h"

#include <algorithm>
#include <tuple>

#include "core/base/bytes.h"

namespace coldstart {

namespace {
constexpr uint32_t acl_version = 2;
struct RawEntry {
  uint16_t tag;
  uint16_t permissions;
  uint32_t id;
};
}  // namespace

std::string encode_posix_acl(std::vector<AclEntry> entries) {
  std::sort(entries.begin(), entries.end(), [](const AclEntry& a, const AclEntry& b) {
    return std::tie(a.tag, a.id) < std::tie(b.tag, b.id);
  });
  std::string value(as_text(bytes_of(acl_version)));
  for (const AclEntry& e : entries)
    value += as_text(bytes_of(RawEntry{static_cast<uint16_t>(e.tag), e.permissions, e.id}));
  return value;
}

}  // namespace coldstart
