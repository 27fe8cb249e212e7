// SPDX-License-Identifier: Apache-2.0
#pragma once
// The mappings of another process, by /proc.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace coldstart {

struct AddressRange {
  uint64_t start = 0;
  uint64_t end = 0;
  bool operator==(const AddressRange&) const = default;
};

struct ProcessMapping {
  AddressRange range;
  bool writable = false;
  bool of_file = false;         ///< or of shared memory: it has an inode
  bool missing_asked = false;   ///< what is missing is asked for through a userfaultfd
  uint64_t resident_bytes = 0;  ///< of it
  uint64_t offset = 0;          ///< in its file
  std::string path;             ///< of its file, as the process sees it; or "[heap]" and the like, or none
};

/// Tells of each mapping in turn until `visit` says false. Nothing if the process is gone. Takes the kernel
/// some 10 ms a GB.
void visit_mappings(pid_t pid, const std::function<bool(const ProcessMapping&)>& visit);
std::vector<ProcessMapping> mappings_of(pid_t pid);
/// Those of files that have a path, without what of them is in memory: that takes no time to speak of.
std::vector<ProcessMapping> file_mappings_of(pid_t pid);

/// The writable mappings that have at least `least` bytes more in memory than their addresses had before, and
/// twice as many: most of what they have is new.
std::vector<AddressRange> grown_mappings(const std::vector<ProcessMapping>& before,
                                         const std::vector<ProcessMapping>& after, uint64_t least);

}  // namespace coldstart
