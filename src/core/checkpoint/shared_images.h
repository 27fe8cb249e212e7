// SPDX-License-Identifier: Apache-2.0
#pragma once
// Images whose large private memory lies in a file that many restores of them map, instead of being filled
// anew in each.
//
// An anonymous private mapping and a private mapping of a file differ for the process only in where a page
// comes from that it has not written to. So a mapping of the images is made one of a file ("the pages file"),
// at an offset of its own; whoever restores hands CRIU that file (shared_file_key) and then sees to it, with
// userfaultfd, that the process finds what it would find in memory of its own.
//
// What the kernel treats differently in mappings of files is left as it was: stacks that grow, locked and
// huge pages, what forked children are not to inherit. So is what the kernel or CRIU touch in the process
// before anybody watches over it: the places of its threads. What a device driver will pin (pinned_list.h)
// would be copied at once, so it stays anonymous memory, too: only its bytes are in the pages file.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace coldstart {

/// A mapping that is made one of the pages file, or (pinned_list.h) whose bytes are kept there.
struct SharedMapping {
  uint32_t pid = 0;    ///< in the images
  uint64_t start = 0;  ///< address
  uint64_t end = 0;
  uint64_t offset = 0;       ///< in the pages file
  uint64_t bytes = 0;        ///< that the snapshot has of it; the rest is zeros
  uint64_t first_block = 0;  ///< see shared_block_bytes
  bool operator==(const SharedMapping&) const = default;
};

/// An address in a mapping and its place in the pages file differ by a multiple of this.
constexpr uint64_t huge_page_bytes = uint64_t{2} << 20;

/// The pages file is filled in blocks of so many bytes, counted from the start of each mapping.
constexpr uint64_t shared_block_bytes = uint64_t{64} << 10;
inline uint64_t blocks_of(const SharedMapping& m) {
  return (m.end - m.start + shared_block_bytes - 1) / shared_block_bytes;
}

/// The mappings of all processes for which it is safe and worth it, by pid and address; those that will be
/// pinned among them only if they are `wanted`.
std::vector<SharedMapping> choose_shared_mappings(const std::filesystem::path& images, bool pinned_wanted);

/// Writes into the empty folder `to` all that CRIU needs to restore `images` with those mappings, in
/// lazy-pages mode: it does not refer to `images`, and has only those pages that are never lazy.
void write_shared_images(const std::filesystem::path& images, const std::filesystem::path& to,
                         const std::vector<SharedMapping>& mappings);

/// What CRIU's inherit_fd calls the pages file in process `pid`. Each process has a file of its own, as far
/// as CRIU can tell: of two mappings of one file it would think that a child has its parent's.
std::string shared_file_key(uint32_t pid);

}  // namespace coldstart
