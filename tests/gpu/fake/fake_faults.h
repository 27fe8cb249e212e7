// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a test wants to go wrong: files "faults", "count" and "calls" of fake_gpu.h.

#include <string>

namespace fake {

/// A line at the end of a file of the fake's folder.
void append_line(const std::string& name, const std::string& line);

struct Fault {
  std::string action;
  long argument = 0;
};
/// Counts the call; what is to happen in it.
Fault fault_of(const std::string& call);

[[noreturn]] void hang();

}  // namespace fake
