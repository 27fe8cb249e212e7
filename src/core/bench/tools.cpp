// SPDX-License-Identifier: Apache-2.0
#include "core/bench/tools.h"

#include <cstdlib>
#include <sstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include "core/base/capture.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

bool in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (::access((fs::path(folder) / program).c_str(), X_OK) == 0) return true;
  return false;
}

std::string last_line(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

bool have_tool(const std::string& program, const std::string& package, const std::string& baseline,
               BenchPart& part) {
  if (in_path(program)) return true;
  part.skipped.push_back({baseline, fmt::format("{} is not installed (package {})", program, package)});
  return false;
}

void run_tool(const std::vector<std::string>& argv, const CancelToken& cancel) {
  const auto start = [&](const FdPairs& fds) {
    SpawnOptions spawn;
    spawn.argv = argv;
    spawn.fds = fds;
    return Child(spawn);
  };
  const Output said = run_to_end(argv[0], start, std::chrono::hours(2), &cancel);
  if (!said.exit.ok())
    throw Error(fmt::format("{} failed with status {}: {}", argv[0], said.exit.status(),
                            last_line(said.err.empty() ? said.out : said.err)));
}

LoopMount::LoopMount(const std::string& type, const fs::path& file, fs::path folder,
                     const CancelToken& cancel)
    : folder_(std::move(folder)) {
  make_folders(folder_);
  run_tool({"mount", "-t", type, "-o", "loop,ro", file.string(), folder_.string()}, cancel);
}

LoopMount::~LoopMount() {
  if (::umount2(folder_.c_str(), MNT_DETACH) != 0)
    log::warn("cannot unmount {}: {}", folder_.string(), std::strerror(errno));
}

void make_empty(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) throw Error::sys(error.value(), "cannot remove " + folder.string());
  make_folders(folder);
}

uint64_t read_tree(const fs::path& folder, const CancelToken& cancel) {
  Bytes buffer(size_t{1} << 20);
  uint64_t total = 0;
  try {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      cancel.check();
      if (entry.is_symlink() || !entry.is_regular_file()) continue;
      const Fd file = open_file(entry.path(), O_RDONLY);
      for (size_t n = 1; n > 0; total += n) n = read_full(file.get(), buffer);
    }
  } catch (const fs::filesystem_error& e) {
    throw Error(e.what());
  }
  return total;
}

}  // namespace coldstart
