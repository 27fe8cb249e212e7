// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/preflight.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/process_tree.h"
#include "core/checkpoint/tree_sockets.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr unsigned memory_devices = 1;  // null, zero, full, random, urandom, kmsg
constexpr unsigned first_pts = 136;
constexpr unsigned last_pts = 143;
constexpr unsigned terminals = 5;  // tty, console, ptmx
constexpr unsigned ptmx = 2;

/// A descriptor of a process.
struct OpenFile {
  pid_t pid;
  int fd;
  std::string link;  ///< "/a/file", "socket:[12]", "anon_inode:[eventfd]"
  struct stat stat;

  std::string path() const { return fmt::format("/proc/{}/fd/{}", pid, fd); }
  std::string info(const std::string& field) const {
    std::ifstream in(fmt::format("/proc/{}/fdinfo/{}", pid, fd));
    for (std::string word; in >> word;)
      if (word == field + ":" && in >> word) return word;
    return {};
  }
};

std::vector<OpenFile> files_of(pid_t pid) {
  std::vector<OpenFile> files;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid), failed)) {
    OpenFile file{
        pid, std::atoi(entry.path().filename().c_str()), fs::read_symlink(entry, failed).string(), {}};
    if (!file.link.empty() && ::stat(entry.path().c_str(), &file.stat) == 0) files.push_back(std::move(file));
  }
  return files;
}

std::set<std::string> mounts_of(pid_t pid) {
  std::set<std::string> ids;
  std::ifstream in(fmt::format("/proc/{}/mountinfo", pid));
  for (std::string line; std::getline(in, line);) ids.insert(line.substr(0, line.find(' ')));
  return ids;
}

bool may_read_limits_of_others() {
  const uint64_t effective = std::strtoull(status_field(::getpid(), "CapEff").c_str(), nullptr, 16);
  return (effective >> CAP_SYS_RESOURCE & 1) != 0;
}

/// Looks at one tree.
class Inspection {
 public:
  explicit Inspection(pid_t root) : root_(root) {
    found_.processes = process_tree(root);
    for (const pid_t pid : found_.processes) {
      std::vector<OpenFile> files = files_of(pid);
      files_.insert(files_.end(), std::make_move_iterator(files.begin()),
                    std::make_move_iterator(files.end()));
    }
  }

  Preflight run() {
    const bool other_users = may_read_limits_of_others();
    for (const pid_t pid : found_.processes) {
      look_at_process(pid);
      if (!other_users) look_at_user(pid);
    }
    for (const OpenFile& file : files_) look_at_file(file);
    look_at_terminals();
    look_at_connections();
    return std::move(found_);
  }

 private:
  void add(pid_t pid, std::string what, std::string hint = {}, Exit exit = Exit::failed) {
    found_.obstacles.push_back({pid, status_field(pid, "Name"), std::move(what), std::move(hint), exit});
  }

  void look_at_process(pid_t pid) {
    if (const std::string tracer = status_field(pid, "TracerPid"); !tracer.empty() && tracer != "0")
      add(pid, "is traced by process " + tracer, "end the debugger or tracer");
    for (const char* kind : {"mnt", "pid", "net", "ipc", "uts", "user", "cgroup"}) {
      const ino_t its = namespace_of(pid, kind);
      if (its != 0 && its != namespace_of(root_, kind))
        add(pid, fmt::format("is in a {} namespace of its own", kind),
            "let it not make namespaces (browsers: --no-sandbox)");
    }
    std::ifstream maps(fmt::format("/proc/{}/maps", pid));
    for (std::string line; std::getline(maps, line);)
      if (line.find(" /SYSV") != std::string::npos) {
        add(pid, "uses System V shared memory", "let it use POSIX shared memory or files");
        return;
      }
  }

  void look_at_user(pid_t pid) {
    for (const char* kind : {"Uid", "Gid"}) {
      std::istringstream ids(status_field(pid, kind));
      for (std::string id; ids >> id;)
        if (id != std::to_string(*kind == 'U' ? ::getuid() : ::getgid())) {
          add(pid, "runs as another user, and the capability CAP_SYS_RESOURCE is missing",
              "give coldstart CAP_SYS_RESOURCE, or run the server as the same user", Exit::missing);
          return;
        }
    }
  }

  void look_at_file(const OpenFile& file) {
    const auto refuse = [&](const std::string& what, std::string hint) {
      add(file.pid, fmt::format("has {} open (descriptor {})", what, file.fd), std::move(hint));
    };
    if (S_ISSOCK(file.stat.st_mode)) {
      look_at_protocol(file);
    } else if (file.link.starts_with("anon_inode:")) {
      look_at_anonymous(file);
    } else if (S_ISBLK(file.stat.st_mode)) {
      refuse("the device " + file.link, "let it close the device before the snapshot");
    } else if (S_ISCHR(file.stat.st_mode)) {
      const unsigned major = gnu_dev_major(file.stat.st_rdev);
      if (major != memory_devices && major != terminals && (major < first_pts || major > last_pts))
        refuse("the device " + file.link, hint_of_device(file.link));
    } else if (file.link.starts_with("/") && !file.link.starts_with("/memfd:")) {
      const std::set<std::string>& mounts = mounts_.try_emplace(file.pid, mounts_of(file.pid)).first->second;
      const std::string mount = file.info("mnt_id");
      if (!mounts.empty() && !mount.empty() && !mounts.contains(mount))  // empty: it has ended meanwhile
        refuse(file.link + " of a file system that is not mounted where it runs",
               "give it no files from outside");
    }
  }

  /// The driver closes the devices of what it checkpoints: processes that use CUDA.
  static std::string hint_of_device(const std::string& device) {
    if (!device.starts_with("/dev/nvidia")) return "let it close the device before the snapshot";
    return "with CUDA: leave out --gpu off; with NVML alone: let it call nvmlShutdown() first "
           "(--pre-snapshot)";
  }

  void look_at_protocol(const OpenFile& file) {
    std::array<char, 64> name{};
    if (::getxattr(file.path().c_str(), "system.sockprotoname", name.data(), name.size() - 1) < 0) return;
    const std::string protocol = name.data();
    if (protocol.starts_with("MPTCP"))
      add(file.pid, fmt::format("has a multipath TCP socket (descriptor {})", file.fd),
          "for a Go program set GODEBUG=multipathtcp=0");
    else if (protocol == "AF_VSOCK")
      add(file.pid, fmt::format("has a vsock socket (descriptor {})", file.fd));
  }

  void look_at_anonymous(const OpenFile& file) {
    static const std::set<std::string> dumpable = {"eventfd", "eventpoll", "timerfd", "signalfd",
                                                   "inotify", "fanotify",  "pidfd"};
    std::string kind = file.link.substr(file.link.find(':') + 1);
    std::erase_if(kind, [](char c) { return c == '[' || c == ']'; });
    if (kind == "io_uring") {
      add(file.pid, fmt::format("has io_uring open (descriptor {})", file.fd),
          "sysctl kernel.io_uring_disabled=2 makes programs do without (node: UV_USE_IO_URING=0)");
    } else if (kind == "pidfd") {
      const pid_t of = std::atoi(file.info("Pid").c_str());
      if (of > 0 && std::ranges::find(found_.processes, of) == found_.processes.end())
        add(file.pid,
            fmt::format("watches process {}, which is not in the tree (descriptor {})", of, file.fd));
    } else if (!dumpable.contains(kind)) {
      add(file.pid, fmt::format("has {} open (descriptor {})", kind, file.fd));
    }
  }

  /// A terminal can be dumped if what it is a terminal of, its master, is in the tree as well.
  void look_at_terminals() {
    std::set<unsigned> masters;
    for (const OpenFile& f : files_)
      if (S_ISCHR(f.stat.st_mode) && f.stat.st_rdev == gnu_dev_makedev(terminals, ptmx))
        masters.insert(static_cast<unsigned>(std::atoi(f.info("tty-index").c_str())));
    std::set<pid_t> told;
    for (const OpenFile& f : files_) {
      const unsigned major = gnu_dev_major(f.stat.st_rdev);
      const unsigned index = (major - first_pts) * 256 + gnu_dev_minor(f.stat.st_rdev);
      if (S_ISCHR(f.stat.st_mode) && major >= first_pts && major <= last_pts && !masters.contains(index) &&
          told.insert(f.pid).second)
        add(f.pid, fmt::format("has the terminal {} open (descriptor {})", f.link, f.fd),
            "run it without a terminal");
    }
  }

  void look_at_connections() {
    std::map<uint64_t, const OpenFile*> sockets;
    for (const OpenFile& f : files_)
      if (S_ISSOCK(f.stat.st_mode)) sockets[f.stat.st_ino] = &f;

    std::set<std::pair<std::string, std::string>> ours;
    const auto tcp = tcp_connections(root_);
    for (const auto& [inode, connection] : tcp)
      if (sockets.contains(inode)) ours.emplace(connection.local, connection.remote);
    for (const auto& [local, remote] : ours)
      ++(ours.contains({remote, local}) ? found_.connections_inside : found_.connections_outside);

    const auto unix = unix_connections(root_);
    for (const auto& [inode, file] : sockets) {
      const auto it = unix.find(inode);
      if (it != unix.end() && !sockets.contains(it->second.peer))
        add(file->pid,
            fmt::format("has a unix socket to a process that is not in the tree (descriptor {})", file->fd),
            "end that connection, or start what it is connected to along with the server");
    }
  }

  pid_t root_;
  std::vector<OpenFile> files_;
  std::map<pid_t, std::set<std::string>> mounts_;
  Preflight found_;
};

}  // namespace

Preflight inspect_tree(pid_t root) {
  return Inspection(root).run();
}

void require_dumpable(const Preflight& found, const DumpOptions& options) {
  std::vector<Obstacle> obstacles = found.obstacles;
  const size_t connections = found.connections_inside + found.connections_outside;
  if (connections > 0 && !options.tcp_close && !options.tcp_established)
    obstacles.push_back({found.processes.front(), status_field(found.processes.front(), "Name"),
                         fmt::format("has {} open TCP connections", connections),
                         "close them first, or let them come back closed: --tcp-close"});
  if (obstacles.empty()) return;
  constexpr size_t shown = 3;
  std::vector<std::string> told;
  for (size_t i = 0; i < std::min(shown, obstacles.size()); ++i)
    told.push_back(fmt::format("{} (pid {}) {}", obstacles[i].process, obstacles[i].pid, obstacles[i].what));
  if (obstacles.size() > shown) told.push_back(fmt::format("and {} more", obstacles.size() - shown));
  throw Error(fmt::format("cannot be snapshotted: {}", fmt::join(told, "; ")), obstacles.front().hint,
              obstacles.front().exit);
}

}  // namespace coldstart
