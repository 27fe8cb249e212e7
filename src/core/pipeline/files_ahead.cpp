// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/files_ahead.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/base/open_inside.h"
#include "core/checkpoint/mapped_files.h"

namespace coldstart {

namespace {

/// None if it cannot be opened, or is no regular file.
Fd open_regular(int root, const std::string& path) {
  Fd fd = open_inside(root, path, O_RDONLY | O_NONBLOCK);
  struct stat st {};
  return fd && ::fstat(fd.get(), &st) == 0 && S_ISREG(st.st_mode) ? std::move(fd) : Fd();
}

}  // namespace

FilesAhead::FilesAhead(std::filesystem::path images, std::filesystem::path root, std::vector<TraceLine> then)
    : images_(std::move(images)),
      root_(std::move(root)),
      then_(std::move(then)),
      thread_([this] { run(); }) {}

FilesAhead::~FilesAhead() {
  stop_ = true;
  thread_.join();
}

void FilesAhead::run() const {
  try {
    const Fd root = open_file(root_, O_PATH | O_DIRECTORY);
    read_for_criu(root.get());
    read_then(root.get());
  } catch (const std::exception& e) {
    log::debug("reading ahead of CRIU ended: {}", e.what());
  }
}

void FilesAhead::read_for_criu(int root) const {
  for (const MappedFile& file : mapped_files(images_)) {
    if (stop_) return;
    const Fd fd = open_regular(root, file.path);
    if (!fd) continue;
    for (const FileRange& range : file.wanted)
      ::readahead(fd.get(), static_cast<off64_t>(range.offset), range.bytes);
  }
}

void FilesAhead::read_then(int root) const {
  const std::string* path = nullptr;
  Fd fd;
  for (const TraceLine& line : then_) {
    if (stop_) return;
    if (path == nullptr || *path != line.path) fd = open_regular(root, line.path);
    path = &line.path;
    if (fd) ::readahead(fd.get(), static_cast<off64_t>(line.offset), line.length);
  }
}

}  // namespace coldstart
