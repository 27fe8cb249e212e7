// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/trace_recorder.h"

#include <fcntl.h>

#include "core/image/trace.h"

namespace coldstart {

TraceRecorder::TraceRecorder(const ImageReader& image, const std::filesystem::path& file, bool go_on)
    : image_(image),
      file_(open_file(file, O_WRONLY | O_CREAT | O_APPEND | (go_on ? 0 : O_TRUNC), 0644)),
      places_(size_t{image.inode_count()} + 1) {
  if (!go_on) write_full(file_.get(), as_bytes(trace_text_header));
  for (uint32_t folder = root_inode; folder <= image.inode_count(); ++folder) {
    const auto entries = image.entries(image.inode(folder));
    for (uint32_t i = 0; i < entries.size(); ++i) places_[entries[i].inode] = {folder, i};
  }
}

std::string TraceRecorder::path_of(uint32_t inode) const {
  std::string path;
  for (; inode != root_inode; inode = places_[inode].folder) {
    const Place& place = places_[inode];
    const std::string_view name = image_.name(image_.entries(image_.inode(place.folder))[place.entry]);
    if (!path.empty()) path.insert(0, 1, '/');
    path.insert(0, name);
  }
  return path;
}

void TraceRecorder::note(uint32_t inode, uint64_t offset, uint64_t length) {
  const InodeRecord& file = image_.inode(inode);
  const auto all = image_.extents(file);
  std::string lines;
  const std::lock_guard lock(mutex_);
  for (const ExtentRecord& extent : image_.extents(file, offset, length)) {
    const uint64_t number = file.first + static_cast<uint64_t>(&extent - all.data());
    if (number >= seen_.size()) seen_.resize(number + 1);
    if (seen_[number]) continue;
    seen_[number] = true;
    lines += trace_line(extent.offset, image_.chunks()[extent.chunk].length, path_of(inode));
  }
  if (!lines.empty()) write_full(file_.get(), as_bytes(lines));
}

}  // namespace coldstart
