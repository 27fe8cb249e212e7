// SPDX-License-Identifier: Apache-2.0
#pragma once
// POSIX ACLs in the form that the kernel keeps them in, as the value of the extended attributes
// system.posix_acl_access and system.posix_acl_default.

#include <cstdint>
#include <string>
#include <vector>

namespace coldstart {

/// The kernel's numbers.
enum class AclTag : uint16_t {
  owner = 0x01,
  user = 0x02,
  owning_group = 0x04,
  group = 0x08,
  mask = 0x10,
  other = 0x20
};

struct AclEntry {
  AclTag tag;
  uint16_t permissions;      ///< 4 read, 2 write, 1 execute
  uint32_t id = UINT32_MAX;  ///< of user and group only
};

/// Sorted by tag and id, as every tool writes them.
std::string encode_posix_acl(std::vector<AclEntry> entries);

}  // namespace coldstart
