// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/readahead.h"

#include <fstream>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

void set_readahead(const std::filesystem::path& folder, unsigned kib) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) {
    log::debug("{}", Error::sys("cannot look at the mount " + folder.string()).what());
    return;
  }
  const std::string file = "/sys/class/bdi/" + std::to_string(major(status.st_dev)) + ":" +
                           std::to_string(minor(status.st_dev)) + "/read_ahead_kb";
  std::ofstream out(file);
  if (!(out << kib << std::flush)) log::debug("cannot set the readahead in {}", file);
}

}  // namespace coldstart
