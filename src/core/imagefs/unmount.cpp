// SPDX-License-Identifier: Apache-2.0
// Ending a mount, and finding out who does not let us.

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/mount_table.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// The path as mountinfo has it. The folder itself may be the mount of a dead server, which cannot even be
/// looked at: so its parent is resolved and its name kept, unless it is a symlink.
fs::path as_mounted(const fs::path& folder) {
  std::error_code error;
  fs::path path = fs::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  fs::path whole = fs::canonical(path, error);
  if (!error) return whole;
  const fs::path parent = fs::canonical(path.parent_path(), error);
  return error ? path : parent / path.filename();
}

std::optional<MountEntry> find_mount(const fs::path& path) {
  const std::vector<MountEntry> table = read_mount_table();
  const auto last = std::find_if(table.rbegin(), table.rend(),
                                 [&](const MountEntry& entry) { return entry.folder == path; });
  if (last == table.rend()) return std::nullopt;
  return *last;
}

bool is_below(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder + "/");
}

/// Does a link in /proc/PID (cwd, root, exe, one of fd/ or map_files/) lead below `folder`?
bool leads_below(const fs::path& link, const std::string& folder) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  return !error && is_below(target.string(), folder);
}

bool process_uses(const fs::path& process, const std::string& folder) {
  for (const char* name : {"cwd", "root", "exe"})
    if (leads_below(process / name, folder)) return true;
  for (const char* list : {"fd", "map_files"}) {
    std::error_code error;
    for (const auto& link : fs::directory_iterator(process / list, error))
      if (leads_below(link.path(), folder)) return true;
  }
  return false;
}

/// "python3 (pid 12), bash (pid 7)", at most five; and the folders that something is mounted on in there.
std::string users_of(const fs::path& folder) {
  std::vector<std::string> users;
  for (const MountEntry& entry : read_mount_table())
    if (entry.folder != folder && is_below(entry.folder.string(), folder.string()))
      users.push_back("the mount " + entry.folder.string());
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    const std::string pid = process.path().filename().string();
    if (!std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (!process_uses(process.path(), folder.string())) continue;
    std::string name;
    try {
      name = read_text(process.path() / "comm");
    } catch (const Error&) {
      continue;  // it ended meanwhile
    }
    if (!name.empty() && name.back() == '\n') name.pop_back();
    users.push_back(fmt::format("{} (pid {})", name, pid));
  }
  if (users.empty()) return "a process or mount that is not to be seen from here";
  std::string text;
  for (size_t i = 0; i < users.size() && i < 5; ++i) text.append(i == 0 ? "" : ", ").append(users[i]);
  if (users.size() > 5) text += " and " + std::to_string(users.size() - 5) + " more";
  return text;
}

bool server_is_dead(const fs::path& folder) {
  struct statfs status {};  // never answered from a cache, as stat(2) is
  return ::statfs(folder.c_str(), &status) != 0 && errno == ENOTCONN;
}

/// False if it is busy.
bool try_unmount(const fs::path& folder) {
  if (::geteuid() != 0) {
    const Output done = run_program({"fusermount3", "-u", "--", folder.string()});
    if (done.exit.ok()) return true;
    if (done.err.find("busy") != std::string::npos) return false;
    throw Error("cannot unmount " + folder.string() + ": " + done.err);
  }
  if (::umount2(folder.c_str(), UMOUNT_NOFOLLOW) == 0) return true;
  if (errno == EBUSY) return false;
  throw Error::sys("cannot unmount " + folder.string());
}

}  // namespace

bool is_image_mount(const fs::path& folder) {
  const auto mount = find_mount(as_mounted(folder));
  return mount && mount->type == image_fs_type;
}

void unmount_image(const fs::path& folder) {
  const fs::path path = as_mounted(folder);
  const auto mount = find_mount(path);
  if (!mount || mount->type != image_fs_type)
    throw Error("no image is mounted on " + folder.string(),
                mount ? "what is mounted there is a " + mount->type + "; see umount(8)" : "");
  if (try_unmount(path)) return;
  if (!server_is_dead(path))
    throw Error(folder.string() + " is busy: used by " + users_of(path), "end what uses it, then try again");
  detach_mount(path);
}

}  // namespace coldstart
