// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/mount_table.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <sys/mount.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/subprocess.h"

namespace coldstart {

namespace {

/// mountinfo writes blanks, newlines and backslashes as \ooo.
std::string unescaped(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      result += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

std::vector<MountEntry> read_mount_table() {
  std::ifstream in("/proc/self/mountinfo");
  if (!in) throw Error::sys("cannot read /proc/self/mountinfo");
  std::vector<MountEntry> result;
  std::string line;
  while (std::getline(in, line)) {
    // ID PARENT MAJOR:MINOR ROOT FOLDER OPTIONS [TAG...] - TYPE SOURCE SUPER_OPTIONS
    std::istringstream words(line);
    MountEntry entry;
    std::string root, folder, word;
    words >> entry.id >> entry.parent >> entry.device >> root >> folder;
    while (words >> word && word != "-") {
    }
    words >> entry.type;
    entry.folder = unescaped(folder);
    result.push_back(std::move(entry));
  }
  return result;
}

std::optional<MountEntry> find_mount(const std::filesystem::path& folder) {
  const std::vector<MountEntry> table = read_mount_table();
  const auto last = std::find_if(table.rbegin(), table.rend(),
                                 [&](const MountEntry& entry) { return entry.folder == folder; });
  if (last == table.rend()) return std::nullopt;
  return *last;
}

void detach_mount(const std::filesystem::path& folder) {
  if (::geteuid() == 0) {
    check(::umount2(folder.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW), "cannot unmount " + folder.string());
    return;
  }
  const Output done = run_program({"fusermount3", "-u", "-z", "--", folder.string()});
  if (!done.exit.ok()) throw Error("cannot unmount " + folder.string() + ": " + done.err);
}

}  // namespace coldstart
