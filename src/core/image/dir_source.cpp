// SPDX-License-Identifier: Apache-2.0
// A folder as a source: depth first, names sorted, every descriptor opened relative to its folder's, no
// symlink followed.
#include <algorithm>
#include <array>
#include <cerrno>
#include <unordered_map>

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/image/blob_check.h"
#include "core/image/folder_stack.h"
#include "core/image/path.h"
#include "core/image/source.h"

namespace coldstart {

namespace {

/// What the kernel makes up: its files are no content, and reading some of them blocks or changes things.
bool is_made_up(int64_t type) {
  constexpr std::array<int64_t, 16> kinds = {PROC_SUPER_MAGIC,
                                             SYSFS_MAGIC,
                                             CGROUP_SUPER_MAGIC,
                                             CGROUP2_SUPER_MAGIC,
                                             DEBUGFS_MAGIC,
                                             TRACEFS_MAGIC,
                                             SECURITYFS_MAGIC,
                                             DEVPTS_SUPER_MAGIC,
                                             BPF_FS_MAGIC,
                                             BINFMTFS_MAGIC,
                                             PSTOREFS_MAGIC,
                                             EFIVARFS_MAGIC,
                                             SELINUX_MAGIC,
                                             0x62656570 /* configfs */,
                                             0x19800202 /* mqueue */,
                                             0x65735543 /* fusectl */};
  return std::find(kinds.begin(), kinds.end(), type) != kinds.end();
}

/// The two calls that list and read attributes: on a descriptor, or on a path that is not followed.
struct XattrDoor {
  int fd;
  std::string path;  // used if not empty
  ssize_t list(char* into, size_t size) const {
    return path.empty() ? ::flistxattr(fd, into, size) : ::llistxattr(path.c_str(), into, size);
  }
  ssize_t get(const char* name, char* into, size_t size) const {
    return path.empty() ? ::fgetxattr(fd, name, into, size) : ::lgetxattr(path.c_str(), name, into, size);
  }
};

class DirSource final : public TreeSource {
 public:
  explicit DirSource(const std::filesystem::path& folder)
      : shown_as_(folder.string()), root_(open_root(folder)), xattr_buffer_(XATTR_LIST_MAX) {}

  std::string describe() const override { return "the folder " + shown_as_; }

  void walk(const std::function<void(SourceEntry&, const Read&)>& each, const CancelToken& cancel) override {
    each_ = &each;
    device_ = 0;
    linked_.clear();
    enter(root_.dup(), "");
    while (!levels_.empty()) {
      cancel.check();
      Level& level = levels_.back();
      if (level.next == level.names.size()) {
        levels_.pop_back();
        open_.pop();
        continue;
      }
      const Name& name = level.names[level.next++];
      entry(name, level.path.empty() ? name.text : level.path + "/" + name.text);
    }
  }

 private:
  struct Name {
    std::string text;
    unsigned char type;  // DT_…
  };
  struct Level {
    std::string path;
    std::vector<Name> names;
    size_t next = 0;
    dev_t device;
  };

  static Fd open_root(const std::filesystem::path& folder) {
    Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd) return fd;
    if (errno == ENOENT) throw Error("there is no folder " + folder.string());
    throw Error::sys("cannot open the folder " + folder.string());
  }

  Error failed(const char* doing, const std::string& path) const {
    const int e = errno;
    return Error::sys(e, std::string("cannot ") + doing + " " + full(path),
                      e == EACCES || e == EPERM ? "files of others can be read as root" : "");
  }
  std::string full(const std::string& path) const {
    return shown(path.empty() ? shown_as_ : shown_as_ + "/" + path);
  }

  /// O_NOATIME where we may: packing must not write to the source.
  Fd open_quietly(const std::string& name, int flags) const {
    Fd fd(::openat(open_.top(), name.c_str(), flags | O_NOATIME | O_CLOEXEC));
    if (!fd && errno == EPERM) fd = Fd(::openat(open_.top(), name.c_str(), flags | O_CLOEXEC));
    return fd;
  }

  void entry(const Name& name, const std::string& path) {
    const int where = open_.top();
    if (name.type == DT_REG) return file(name.text, path);
    SourceEntry e;
    e.path = path;
    if (::fstatat(where, name.text.c_str(), &e.stat, AT_SYMLINK_NOFOLLOW) != 0) throw failed("stat", path);
    if (S_ISREG(e.stat.st_mode)) return file(name.text, path);
    if (S_ISDIR(e.stat.st_mode)) {
      Fd folder = open_quietly(name.text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (!folder) throw failed("open the folder", path);
      return enter(std::move(folder), path);
    }
    if (S_ISLNK(e.stat.st_mode)) e.target = read_link(name.text, path);
    // A descriptor of a symlink or a device cannot be asked for its attributes.
    e.xattrs = read_xattrs({-1, "/proc/self/fd/" + std::to_string(where) + "/" + name.text}, path);
    hand_on(e, nullptr);
  }

  void enter(Fd folder, const std::string& path) {
    SourceEntry e;
    e.path = path;
    if (::fstat(folder.get(), &e.stat) != 0) throw failed("stat", path);
    if (e.stat.st_dev != device_) refuse_made_up(folder.get(), path);
    device_ = e.stat.st_dev;
    e.xattrs = read_xattrs({folder.get(), {}}, path);
    (*each_)(e, nullptr);
    levels_.push_back({path, list(folder, path), 0, e.stat.st_dev});
    open_.push(std::move(folder));
  }

  void refuse_made_up(int folder, const std::string& path) const {
    struct statfs fs {};
    if (::fstatfs(folder, &fs) != 0) throw failed("ask for the file system of", path);
    if (is_made_up(fs.f_type))
      throw Error(
          full(path) + " is a file system that the kernel makes up (as /proc is): it cannot be packed",
          "unmount it, or pack a tree without it");
  }

  std::vector<Name> list(const Fd& folder, const std::string& path) const {
    DIR* raw = ::fdopendir(folder.dup().release());
    if (raw == nullptr) throw failed("list the folder", path);
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(raw, ::closedir);
    std::vector<Name> names;
    for (;;) {
      errno = 0;
      const dirent* d = ::readdir(raw);
      if (d == nullptr && errno != 0) throw failed("list the folder", path);
      if (d == nullptr) break;
      const std::string_view name = d->d_name;
      if (name != "." && name != "..") names.push_back({std::string(name), d->d_type});
    }
    std::sort(names.begin(), names.end(), [](const Name& a, const Name& b) { return a.text < b.text; });
    return names;
  }

  std::string read_link(const std::string& name, const std::string& path) const {
    std::array<char, max_target_bytes + 2> target;
    const ssize_t n = ::readlinkat(open_.top(), name.c_str(), target.data(), target.size());
    if (n < 0) throw failed("read the link", path);
    return {target.data(), static_cast<size_t>(n)};
  }

  std::vector<std::pair<std::string, std::string>> read_xattrs(const XattrDoor& door,
                                                               const std::string& path) {
    std::vector<std::pair<std::string, std::string>> all;
    const ssize_t listed = door.list(xattr_buffer_.data(), xattr_buffer_.size());
    if (listed < 0 && errno == ENOTSUP) return all;
    if (listed < 0) throw failed("list the attributes of", path);
    const std::string names(xattr_buffer_.data(), static_cast<size_t>(listed));
    for (size_t at = 0; at < names.size(); at = names.find('\0', at) + 1) {
      const char* name = names.c_str() + at;
      const ssize_t n = door.get(name, xattr_buffer_.data(), xattr_buffer_.size());
      if (n < 0 && errno == ENODATA) continue;  // listed, but not ours to have
      if (n < 0) throw failed("read the attributes of", path);
      all.emplace_back(name, std::string(xattr_buffer_.data(), static_cast<size_t>(n)));
    }
    return all;
  }

  void file(const std::string& name, const std::string& path) {
    // Not blocking: should it have become a fifo by now, nobody may be at its other end.
    const Fd fd = open_quietly(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!fd) throw failed("open", path);
    SourceEntry e;
    e.path = path;
    if (::fstat(fd.get(), &e.stat) != 0) throw failed("stat", path);
    if (!S_ISREG(e.stat.st_mode)) throw changed(path, "is no regular file any more");
    e.xattrs = read_xattrs({fd.get(), {}}, path);
    e.ranges = data_ranges(fd.get(), e.stat, path);
    hand_on(e, reader_of(fd.get(), e));
    struct stat after {};
    if (::fstat(fd.get(), &after) != 0) throw failed("stat", path);
    if (after.st_size != e.stat.st_size)
      throw changed(path, after.st_size > e.stat.st_size ? "grew" : "shrank");
    if (after.st_mtim.tv_sec != e.stat.st_mtim.tv_sec || after.st_mtim.tv_nsec != e.stat.st_mtim.tv_nsec)
      throw changed(path, "was written to");
  }

  Error changed(const std::string& path, const char* how) const {
    return Error("the file " + full(path) + " " + how + " while it was being packed",
                 "pack a tree that nobody writes to");
  }

  std::vector<DataRange> data_ranges(int fd, const struct stat& st, const std::string& path) const {
    std::vector<DataRange> ranges;
    if (st.st_size == 0) return ranges;
    if (st.st_blocks * 512 >= st.st_size) return {{0, static_cast<uint64_t>(st.st_size)}};
    for (off_t at = 0; at < st.st_size;) {
      const off_t data = ::lseek(fd, at, SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;  // a hole up to the end
      if (data < 0 && errno == EINVAL) return {{0, static_cast<uint64_t>(st.st_size)}};
      if (data < 0) throw failed("seek in", path);
      const off_t hole = ::lseek(fd, data, SEEK_HOLE);
      if (hole < 0) throw failed("seek in", path);
      const off_t end = std::min(hole, st.st_size);
      if (end > data) ranges.push_back({static_cast<uint64_t>(data), static_cast<uint64_t>(end - data)});
      at = hole;
    }
    return ranges;
  }

  /// `e` must live as long as what it gives.
  Read reader_of(int fd, const SourceEntry& e) const {
    return [this, fd, &e, range = size_t{0}, done = uint64_t{0}](MutableByteSpan into) mutable -> size_t {
      while (range < e.ranges.size() && done == e.ranges[range].length) {
        ++range;
        done = 0;
      }
      if (range == e.ranges.size()) return 0;
      const DataRange& r = e.ranges[range];
      const size_t wanted = static_cast<size_t>(std::min<uint64_t>(into.size(), r.length - done));
      for (;;) {
        const ssize_t n = ::pread(fd, into.data(), wanted, static_cast<off_t>(r.offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw failed("read", e.path);
        if (n == 0) throw changed(e.path, "shrank");
        done += static_cast<uint64_t>(n);
        return static_cast<size_t>(n);
      }
    };
  }

  /// Gives an entry to the caller, as a hard link if its inode was seen before.
  void hand_on(SourceEntry& e, const Read& read) {
    if (e.stat.st_nlink > 1) {
      const auto [at, first] = linked_.try_emplace({e.stat.st_dev, e.stat.st_ino}, e.path);
      e.hard_link = !first;
      if (e.hard_link) e.target = at->second;
    }
    (*each_)(e, read);
  }

  struct FileId {
    dev_t device;
    ino_t inode;
    bool operator==(const FileId&) const = default;
  };
  struct FileIdHash {
    size_t operator()(const FileId& id) const noexcept { return id.inode * 31 + id.device; }
  };

  const std::string shown_as_;
  const Fd root_;
  std::vector<char> xattr_buffer_;
  const std::function<void(SourceEntry&, const Read&)>* each_ = nullptr;
  dev_t device_ = 0;  // of the folder that was entered last
  std::vector<Level> levels_;
  FolderStack open_;
  std::unordered_map<FileId, std::string, FileIdHash> linked_;
};

}  // namespace

std::unique_ptr<TreeSource> open_dir_source(const std::filesystem::path& folder) {
  return std::make_unique<DirSource>(folder);
}

}  // namespace coldstart
