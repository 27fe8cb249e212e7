// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/root.h"

#include <cerrno>

#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/sandbox/gpu_access.h"
#include "core/sandbox/loader_cache.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

void mount_fs(const char* type, const char* target, unsigned long flags, const std::string& data = {}) {
  check(::mount(type, target, type, flags, data.c_str()),
        std::string("cannot mount ") + type + " on " + target);
}

/// mkdir -p; what is there in its place, a dangling symlink for example, makes it fail.
void make_mount_point(const fs::path& target, bool folder) {
  if (folder) {
    make_folders(target, 0755);
    return;
  }
  make_folders(target.parent_path(), 0755);
  const Fd fd = open_file(target, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0644);
}

// --- what comes from the host
// ----------------------------------------------------------------------------------

/// A bind's source as a mount that is attached nowhere yet.
struct DetachedBind {
  const Bind& bind;
  Fd mount;
  bool folder;
};

DetachedBind detach(const Bind& bind) {
  Fd mount(::open_tree(AT_FDCWD, bind.source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!mount) throw Error::sys("cannot bind " + bind.source.string());
  struct stat st {};
  check(::fstatat(mount.get(), "", &st, AT_EMPTY_PATH), "cannot stat " + bind.source.string());
  if (bind.read_only) {
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    check(::mount_setattr(mount.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes),
          "cannot make the bind of " + bind.source.string() + " read-only");
  }
  return {bind, std::move(mount), S_ISDIR(st.st_mode)};
}

void attach(const DetachedBind& bind, bool may_create) {
  const std::string& target = bind.bind.target;
  std::error_code ignored;
  if (may_create)
    make_mount_point(target, bind.folder);
  else if (!fs::exists(target, ignored))
    throw Error("cannot bind to " + target + ": the host's root has no such " +
                (bind.folder ? "folder" : "file"));
  check(::move_mount(bind.mount.get(), "", AT_FDCWD, target.c_str(),
                     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS),
        "cannot bind " + bind.bind.source.string() + " to " + target);
}

/// /etc/resolv.conf, hosts, hostname as they shall be inside.
struct NetworkFiles {
  std::string resolv, hosts, hostname;
};

NetworkFiles network_files(Net net) {
  const auto read = [](const char* path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored) ? read_text(path, 1 << 20) : std::string();
  };
  utsname names{};
  check(::uname(&names), "cannot read the host's name");
  const std::string name = names.nodename;
  const std::string own = "127.0.0.1 localhost " + name + "\n::1 localhost ip6-localhost ip6-loopback\n";
  std::string hosts = net == Net::host ? read("/etc/hosts") : std::string();
  return {read("/etc/resolv.conf"), hosts.empty() ? own : hosts, name + "\n"};
}

// --- inside
// ------------------------------------------------------------------------------------------------------

void mount_overlay(const RootSpec& root) {
  const fs::path upper = root.scratch / "upper";
  const fs::path work = root.scratch / "work";
  const fs::path merged = root.scratch / "root";
  for (const fs::path& folder : {upper, work, merged}) make_folders(folder, 0755);
  // By descriptor: a path may hold the commas and colons that separate options.
  const Fd lower_fd = open_file(root.lower, O_PATH | O_DIRECTORY);
  const Fd upper_fd = open_file(upper, O_PATH | O_DIRECTORY);
  const Fd work_fd = open_file(work, O_PATH | O_DIRECTORY);
  const auto by_fd = [](const Fd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); };
  // An upper folder must mean the same above another mount of the same tree: no index, no redirects.
  const std::string options = "lowerdir=" + by_fd(lower_fd) + ",upperdir=" + by_fd(upper_fd) +
                              ",workdir=" + by_fd(work_fd) + ",index=off,redirect_dir=off,metacopy=off";
  if (::mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) != 0) {
    const int error = errno;
    throw Error::sys(error, "cannot mount an overlay over " + root.lower.string(),
                     error == EINVAL ? "the store may lie on a file system that an overlay cannot write to; "
                                       "choose another with --store"
                                     : "",
                     error == ENODEV || error == EPERM || error == EINVAL ? Exit::missing : Exit::failed);
  }
  check(::chdir(merged.c_str()), "cannot enter the overlay");
  check(static_cast<int>(::syscall(SYS_pivot_root, ".", ".")), "cannot change the root");
  check(::umount2(".", MNT_DETACH), "cannot leave the old root");
  check(::chdir("/"), "cannot enter the new root");
}

void mount_shm() {
  mount_fs("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
}

void make_devices(const std::vector<DeviceNode>& extra) {
  make_mount_point("/dev", true);
  mount_fs("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=64k");
  std::vector<DeviceNode> devices = {
      {"/dev/null", S_IFCHR | 0666, makedev(1, 3)},    {"/dev/zero", S_IFCHR | 0666, makedev(1, 5)},
      {"/dev/full", S_IFCHR | 0666, makedev(1, 7)},    {"/dev/random", S_IFCHR | 0666, makedev(1, 8)},
      {"/dev/urandom", S_IFCHR | 0666, makedev(1, 9)}, {"/dev/tty", S_IFCHR | 0666, makedev(5, 0)}};
  devices.insert(devices.end(), extra.begin(), extra.end());
  for (const DeviceNode& d : devices) {
    make_folders(fs::path(d.path).parent_path(), 0755);
    check(::mknod(d.path.c_str(), d.mode, d.number), "cannot make the device " + d.path);
  }
  const std::pair<const char*, const char*> links[] = {{"/proc/self/fd", "/dev/fd"},
                                                       {"/proc/self/fd/0", "/dev/stdin"},
                                                       {"/proc/self/fd/1", "/dev/stdout"},
                                                       {"/proc/self/fd/2", "/dev/stderr"},
                                                       {"pts/ptmx", "/dev/ptmx"}};
  for (const auto& [to, link] : links) check(::symlink(to, link), std::string("cannot make ") + link);
  make_folders("/dev/pts", 0755);
  make_folders("/dev/shm", 01777);
  mount_fs("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  mount_shm();
}

void mount_proc() {
  mount_fs("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

void mount_sys() {
  make_mount_point("/sys", true);
  mount_fs("sysfs", "/sys", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

/// Writes a file of ours into the overlay, unless the tree has the same. A symlink there is replaced: where
/// it leads (/run/systemd/…) nobody serves inside.
void put_file(const std::string& path, const std::string& content) {
  if (content.empty()) return;
  std::error_code ignored;
  const bool plain = fs::symlink_status(path, ignored).type() == fs::file_type::regular;
  if (plain && fs::file_size(path, ignored) == content.size() && read_text(path) == content) return;
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw Error::sys("cannot replace " + path + " inside");
  const Fd fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  write_full(fd.get(), as_bytes(content));
}

/// The driver's files, detached like other binds, with targets that are chosen inside.
class DriverFiles {
 public:
  explicit DriverFiles(const GpuAccess& gpus) : gpus_(gpus) {
    for (const DriverLibrary& library : gpus.libraries) binds_.push_back({library.source, {}, true});
    for (const fs::path& program : gpus.programs) binds_.push_back({program, {}, true});
    for (const Bind& bind : binds_) detached_.push_back(detach(bind));
  }

  /// In a folder of their own, so that nothing of them is in what the program has written, and nothing of the
  /// image is hidden (there are some with a /usr/local/nvidia). The loader finds them by its cache, where
  /// also programs look that search by themselves. In a root without such a loader nothing could use them.
  void place() {
    std::error_code ignored;
    if (gpus_.libraries.empty() || !fs::exists("/lib64/ld-linux-x86-64.so.2", ignored)) return;
    const fs::path top = "/usr/local/nvidia-driver";
    const fs::path folder = top / "lib64";
    make_mount_point(top, true);
    mount_fs("tmpfs", top.c_str(), MS_NOSUID | MS_NODEV, "mode=755");
    make_folders(folder, 0755);
    LoaderCache cache = cache_here();
    size_t n = 0;
    for (const DriverLibrary& library : gpus_.libraries) {
      put(n++, folder / library.name);
      std::vector<std::string> names = library.links;
      for (const std::string& link : names)
        check(::symlink(library.name.c_str(), (folder / link).c_str()), "cannot make " + link + " inside");
      if (names.empty()) names.push_back(library.name);
      for (const std::string& name : names) cache.add(name, folder / name);
    }
    for (const fs::path& program : gpus_.programs) put_program(n++, top / "bin" / program.filename());
    check(::mount(nullptr, top.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV,
                  nullptr),
          "cannot make " + top.string() + " read-only");
    put_file("/etc/ld.so.cache", std::string(as_text(cache.file())));
    // For who makes that anew.
    if (fs::is_directory("/etc/ld.so.conf.d", ignored))
      put_file("/etc/ld.so.conf.d/00-nvidia-driver.conf", folder.string() + "\n");
  }

 private:
  /// Should the image have none, or a damaged one, then one without a library.
  static LoaderCache cache_here() {
    std::error_code ignored;
    const char* path = "/etc/ld.so.cache";
    try {
      return fs::is_regular_file(path, ignored) ? LoaderCache(read_file(path, size_t{16} << 20))
                                                : LoaderCache();
    } catch (const Error&) {
      return {};
    }
  }

  void put(size_t number, const fs::path& target) {
    binds_[number].target = target;
    attach(detached_[number], true);
  }

  /// An image's own, and one without such a folder, stay as they are.
  void put_program(size_t number, const fs::path& target) {
    put(number, target);
    const fs::path link = "/usr/bin" / target.filename();
    if (::symlink(target.c_str(), link.c_str()) != 0 && errno != EEXIST && errno != ENOENT)
      throw Error::sys("cannot make " + link.string() + " inside");
  }

  const GpuAccess& gpus_;
  std::vector<Bind> binds_;  // libraries, then programs
  std::vector<DetachedBind> detached_;
};

void raise_loopback() {
  const Fd socket(check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "cannot make a socket"));
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  check(::ioctl(socket.get(), SIOCSIFFLAGS, &request), "cannot start the loopback device");
}

void begin_pids_at(pid_t first) {
  if (first <= 2) return;
  // Not there in kernels without checkpoint/restore, where the numbering does not matter.
  const Fd fd(::open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return;
  if (!fd) throw Error::sys("cannot set where pids begin");
  write_full(fd.get(), as_bytes(std::to_string(first - 1)));
}

}  // namespace

void enter_root(const SandboxOptions& options) {
  ::umask(0);
  // What the host unmounts shall not stay busy because of us; what is mounted here stays here.
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr), "cannot keep mounts to this sandbox");
  std::vector<DetachedBind> binds;
  for (const Bind& bind : options.root.binds) binds.push_back(detach(bind));
  const bool own_root = !options.root.lower.empty();
  if (own_root) {
    const GpuAccess gpus = gpu_access();
    DriverFiles driver(gpus);
    const NetworkFiles files = network_files(options.net);
    mount_overlay(options.root);
    make_mount_point("/proc", true);
    mount_proc();
    make_devices(gpus.nodes);
    mount_sys();
    make_folders("/etc", 0755);
    put_file("/etc/resolv.conf", files.resolv);
    put_file("/etc/hosts", files.hosts);
    put_file("/etc/hostname", files.hostname);
    driver.place();
  } else {
    mount_proc();
    mount_shm();
  }
  for (const DetachedBind& bind : binds) attach(bind, own_root);
  if (options.net == Net::isolated) raise_loopback();
  begin_pids_at(options.first_pid);
}

}  // namespace coldstart
