// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/readahead.h"

#include <fstream>

#include "core/base/log.h"
#include "core/imagefs/mount_table.h"

namespace coldstart {

void set_readahead(const std::filesystem::path& folder, unsigned kib) {
  // From the table: stat(2) would keep who unmounts it just now from doing so.
  std::error_code error;
  const auto mount = find_mount(std::filesystem::canonical(folder.parent_path(), error) / folder.filename());
  if (!mount || mount->type != image_fs_type) {
    log::debug("no image is to be seen at {}: its readahead stays", folder.string());
    return;
  }
  const std::string file = "/sys/class/bdi/" + mount->device + "/read_ahead_kb";
  std::ofstream out(file);
  if (!(out << kib << std::flush)) log::debug("cannot set the readahead in {}", file);
}

}  // namespace coldstart
