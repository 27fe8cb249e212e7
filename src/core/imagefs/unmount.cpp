// SPDX-License-Identifier: Apache-2.0
// Ending a mount, and finding out who does not let us.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/subprocess.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/mount_table.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// Who only looks at a path in there (stat(2), statfs(2) by df or an agent that watches file systems) keeps
// the mount for that long, and is not to be seen in /proc.
constexpr auto in_passing = 1s;
constexpr auto first_pause = 1ms;
constexpr auto longest_pause = 20ms;

constexpr auto longest_silence = 2s;  // of a server that is asked for something

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

bool is_below(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder + "/");
}

/// Does a link in /proc/PID (cwd, root, exe, one of fd/ or map_files/) lead into the mount? Its own processes
/// hold the folder beneath it (see presence.h), which has the same path.
bool leads_into(const fs::path& link, const MountEntry& mount) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  if (error || !is_below(target.string(), mount.folder.string())) return false;
  struct statx status {};  // without asking the server, which may hang
  if (::statx(AT_FDCWD, link.c_str(), AT_STATX_DONT_SYNC, 0, &status) != 0)
    return true;  // not ours to follow
  return fmt::format("{}:{}", status.stx_dev_major, status.stx_dev_minor) == mount.device;
}

bool process_uses(const fs::path& process, const MountEntry& mount) {
  for (const char* name : {"cwd", "root", "exe"})
    if (leads_into(process / name, mount)) return true;
  for (const char* list : {"fd", "map_files"}) {
    std::error_code error;
    for (const auto& link : fs::directory_iterator(process / list, error))
      if (leads_into(link.path(), mount)) return true;
  }
  return false;
}

/// "python3 (pid 12), bash (pid 7)", at most five; and the folders that something is mounted on in there.
/// Empty if nobody is to be seen.
std::string users_of(const MountEntry& mount) {
  std::vector<std::string> users;
  for (const MountEntry& entry : read_mount_table())
    if (entry.folder != mount.folder && is_below(entry.folder.string(), mount.folder.string()))
      users.push_back("the mount " + entry.folder.string());
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    const std::string pid = process.path().filename().string();
    if (!std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (!process_uses(process.path(), mount)) continue;
    std::string name;
    try {
      name = read_text(process.path() / "comm");
    } catch (const Error&) {
      continue;  // it ended meanwhile
    }
    if (!name.empty() && name.back() == '\n') name.pop_back();
    users.push_back(fmt::format("{} (pid {})", name, pid));
  }
  std::string text;
  for (size_t i = 0; i < users.size() && i < 5; ++i) text.append(i == 0 ? "" : ", ").append(users[i]);
  if (users.size() > 5) text += " and " + std::to_string(users.size() - 5) + " more";
  return text;
}

/// One that hangs is not dead: so who asks it is another process, which can be let go of.
bool server_is_dead(const fs::path& folder) {
  const pid_t asking = check(::fork(), "cannot start a process");
  if (asking == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct statfs status {};  // never answered from a cache, as stat(2) is
    ::_exit(::statfs(folder.c_str(), &status) != 0 && errno == ENOTCONN ? 1 : 0);
  }
  const auto answer = Child(asking).wait_for(longest_silence);
  return answer && answer->code == 1;
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
  const auto deadline = Clock::now() + in_passing;
  for (auto pause = first_pause; !try_unmount(path); pause = std::min(2 * pause, longest_pause)) {
    const bool patient = Clock::now() < deadline;
    if (server_is_dead(path)) return detach_mount(path);
    std::string users = users_of(*mount);
    if (users.empty() && patient) {
      std::this_thread::sleep_for(pause);
      continue;
    }
    if (users.empty()) users = "a process or mount that is not to be seen from here";
    throw Error(folder.string() + " is busy: used by " + users, "end what uses it, then try again");
  }
}

}  // namespace coldstart
