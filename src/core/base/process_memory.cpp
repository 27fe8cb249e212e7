// SPDX-License-Identifier: Apache-2.0
#include "core/base/process_memory.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <sys/uio.h>

#include "core/base/workers.h"

namespace coldstart {

namespace {

constexpr uint64_t page_bytes = 4096;
constexpr uint64_t piece_bytes = uint64_t{64} << 20;  // what a thread takes at a time
constexpr size_t pages_a_call = 1024;                 // IOV_MAX

/// Whether a line of maps or smaps begins a mapping, and then which one:
/// "7f0000000000-7f0000001000 r-xp 00002000 00:1c 1234   /usr/lib/libm.so.6"
bool begins_mapping(const std::string& line, ProcessMapping& mapping) {
  std::istringstream words(line);
  std::string range, rights, device;
  uint64_t offset = 0, inode = 0;
  if (!(words >> range >> rights >> std::hex >> offset >> device >> std::dec >> inode)) return false;
  const size_t dash = range.find('-');
  if (dash == std::string::npos || rights.size() < 2) return false;
  mapping = {};
  mapping.range = {std::strtoull(range.c_str(), nullptr, 16),
                   std::strtoull(range.c_str() + dash + 1, nullptr, 16)};
  mapping.writable = rights[1] == 'w';
  mapping.of_file = inode != 0;
  mapping.offset = offset;
  std::getline(words >> std::ws, mapping.path);
  return true;
}

/// Reads a byte of each page; gives the number of pages that it could read.
uint64_t touch(pid_t pid, AddressRange range, const CancelToken& cancel) {
  std::array<std::byte, pages_a_call> bytes;
  std::array<iovec, pages_a_call> there;
  uint64_t touched = 0;
  while (range.start < range.end && !cancel.cancelled()) {
    const size_t pages =
        std::min<uint64_t>(pages_a_call, (range.end - range.start + page_bytes - 1) / page_bytes);
    for (size_t i = 0; i < pages; ++i)
      // NOLINTNEXTLINE(performance-no-int-to-ptr): an address in the other process
      there[i] = {reinterpret_cast<void*>(range.start + i * page_bytes), 1};
    iovec here{bytes.data(), pages};
    const ssize_t n = ::process_vm_readv(pid, &here, 1, there.data(), pages, 0);
    if (n < 0 && errno != EFAULT) break;
    const uint64_t done = n < 0 ? 0 : static_cast<uint64_t>(n);
    touched += done;
    range.start += (done < pages ? done + 1 : done) * page_bytes;  // past the one that cannot be read
  }
  return touched;
}

}  // namespace

void visit_mappings(pid_t pid, const std::function<bool(const ProcessMapping&)>& visit) {
  std::ifstream in(fmt::format("/proc/{}/smaps", pid));
  ProcessMapping mapping;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("Rss:")) {
      mapping.resident_bytes = std::strtoull(line.c_str() + 4, nullptr, 10) << 10;
    } else if (line.starts_with("VmFlags:")) {  // the last line of each
      mapping.missing_asked = line.find(" um") != std::string::npos;
      if (!visit(mapping)) return;
    } else if (!line.empty() && (line[0] < 'A' || line[0] > 'Z')) {
      begins_mapping(line, mapping);
    }
  }
}

std::vector<ProcessMapping> mappings_of(pid_t pid) {
  std::vector<ProcessMapping> all;
  visit_mappings(pid, [&](const ProcessMapping& mapping) {
    all.push_back(mapping);
    return true;
  });
  return all;
}

std::vector<ProcessMapping> file_mappings_of(pid_t pid) {
  std::vector<ProcessMapping> all;
  std::ifstream in(fmt::format("/proc/{}/maps", pid));
  ProcessMapping mapping;
  for (std::string line; std::getline(in, line);)
    if (begins_mapping(line, mapping) && mapping.of_file && mapping.path.starts_with('/'))
      all.push_back(mapping);
  return all;
}

std::vector<AddressRange> grown_mappings(const std::vector<ProcessMapping>& before,
                                         const std::vector<ProcessMapping>& after, uint64_t least) {
  std::vector<AddressRange> grown;
  for (const ProcessMapping& now : after) {
    uint64_t had = 0;
    for (const ProcessMapping& then : before)
      if (then.range.start < now.range.end && now.range.start < then.range.end) had += then.resident_bytes;
    if (now.writable && now.resident_bytes >= had + least) grown.push_back(now.range);
  }
  return grown;
}

uint64_t prefault(pid_t pid, const std::vector<AddressRange>& ranges, const CancelToken& cancel) {
  std::atomic<uint64_t> pages{0};
  const unsigned threads = default_jobs();
  Workers workers(threads, size_t{2} * threads);
  for (const AddressRange& range : ranges)
    for (uint64_t at = range.start; at < range.end; at += piece_bytes)
      workers.submit([&, piece = AddressRange{at, std::min(at + piece_bytes, range.end)}] {
        pages += touch(pid, piece, cancel);
      });
  workers.wait();
  cancel.check();
  return pages * page_bytes;
}

}  // namespace coldstart
