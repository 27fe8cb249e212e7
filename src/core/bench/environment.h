// SPDX-License-Identifier: Apache-2.0
#pragma once
// The machine that figures come from: without it they mean nothing.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace coldstart {

/// A plain value.
struct Environment {
  std::string kernel;  ///< "6.18.44"
  std::string system;  ///< "Debian GNU/Linux 12 (bookworm)"
  std::string cpu;     ///< model
  unsigned cores = 0;  ///< that this process may use
  uint64_t memory_bytes = 0;
  std::vector<std::string> gpus;  ///< models, by the driver
  /// Of this program, CRIU, libfuse and what is compared with: "mksquashfs": "4.5.1". Absent: not installed.
  std::map<std::string, std::string> versions;

  static Environment here();
  OrderedJson to_json() const;
  static Environment from_json(const Json& json, const std::string& document);
  /// True if times of both can be compared at all: same processor, cores and kernel.
  bool like(const Environment& other) const;
  /// One fact a line: name and value.
  std::vector<std::pair<std::string, std::string>> facts() const;
};

}  // namespace coldstart
