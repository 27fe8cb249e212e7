// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/files_ahead.h"

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/open_inside.h"

namespace coldstart {

namespace {

/// None if it cannot be opened, or is no regular file.
Fd open_regular(int image, const std::string& path) {
  Fd fd = open_inside(image, path, O_RDONLY | O_NONBLOCK);
  struct stat st {};
  return fd && ::fstat(fd.get(), &st) == 0 && S_ISREG(st.st_mode) ? std::move(fd) : Fd();
}

void read_ahead(int file, uint64_t offset, uint64_t bytes) {
  constexpr uint64_t step = uint64_t{128} << 10;  // of more at once, the kernel may leave out the rest
  for (const uint64_t end = offset + bytes; offset < end; offset += step)
    ::readahead(file, static_cast<off64_t>(offset), std::min(step, end - offset));
}

}  // namespace

FilesAhead::FilesAhead(std::filesystem::path images, std::filesystem::path image, std::filesystem::path root,
                       std::vector<TraceLine> then)
    : images_(std::move(images)),
      image_(std::move(image)),
      root_(std::move(root)),
      then_(std::move(then)),
      thread_([this] { run(); }) {}

FilesAhead::~FilesAhead() {
  stop_ = true;
  thread_.join();
}

void FilesAhead::run() const {
  try {
    const std::vector<MappedFile> files = mapped_files(images_);
    look_up(files);
    const Fd image = open_file(image_, O_PATH | O_DIRECTORY);
    read_for_criu(image.get(), files);
    read_then(image.get());
  } catch (const std::exception& e) {
    log::debug("reading ahead of CRIU ended: {}", e.what());
  }
}

/// The overlay that CRIU sees asks the image's server for an attribute of each file that is looked up the
/// first time.
void FilesAhead::look_up(const std::vector<MappedFile>& files) const {
  const Fd root = open_file(root_, O_PATH | O_DIRECTORY);
  for (const MappedFile& file : files) {
    if (stop_) return;
    open_inside(root.get(), file.path, O_PATH);
  }
}

void FilesAhead::read_for_criu(int image, const std::vector<MappedFile>& files) const {
  for (const MappedFile& file : files) {
    if (stop_) return;
    const Fd fd = open_regular(image, file.path);
    if (!fd) continue;
    for (const FileRange& range : file.wanted) read_ahead(fd.get(), range.offset, range.bytes);
  }
}

void FilesAhead::read_then(int image) const {
  const std::string* path = nullptr;
  Fd fd;
  for (const TraceLine& line : then_) {
    if (stop_) return;
    if (path == nullptr || *path != line.path) fd = open_regular(image, line.path);
    path = &line.path;
    if (fd) read_ahead(fd.get(), line.offset, line.length);
  }
}

}  // namespace coldstart
