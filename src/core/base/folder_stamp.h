// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a folder has got other names since it was listed, for the price of one stat(2).

#include <ctime>
#include <filesystem>

#include <sys/stat.h>

namespace coldstart {

/// For one thread at a time.
class FolderStamp {
 public:
  /// Call before listing the folder.
  void look(const std::filesystem::path& folder) { stamp_ = of(folder); }

  /// False only if the names are surely those of the last look().
  bool changed(const std::filesystem::path& folder) const {
    const Stamp now = of(folder);
    return now.seconds != stamp_.seconds || now.nanoseconds != stamp_.nanoseconds ||
           now.inode != stamp_.inode || !stamp_.settled;
  }

 private:
  struct Stamp {
    time_t seconds = 0;
    long nanoseconds = 0;
    ino_t inode = 0;
    /// The kernel's time moves in steps: a change within the same step would not show.
    bool settled = false;
  };

  static Stamp of(const std::filesystem::path& folder) {
    struct stat st {};
    if (::stat(folder.c_str(), &st) != 0) return {0, 0, 0, true};
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    const double age = static_cast<double>(now.tv_sec - st.st_mtim.tv_sec) +
                       static_cast<double>(now.tv_nsec - st.st_mtim.tv_nsec) * 1e-9;
    return {st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ino, age > 0.05 || age < -1};
  }

  Stamp stamp_;
};

}  // namespace coldstart
