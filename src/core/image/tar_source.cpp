// SPDX-License-Identifier: Apache-2.0
// A tar as a source, by libarchive. Tars come from outside: every name is made an inner one, every number
// is checked before it is used, and what cannot be carried over exactly is an error, not a warning.
#include <algorithm>
#include <limits>

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/sysmacros.h>

#include "core/base/error.h"
#include "core/image/archive_reader.h"
#include "core/image/blob_check.h"
#include "core/image/path.h"
#include "core/image/posix_acl.h"
#include "core/image/source.h"

namespace coldstart {

namespace {

class TarSource final : public TreeSource {
 public:
  TarSource(ByteInput input, std::string shown_as)
      : shown_as_(std::move(shown_as)),
        archive_(ArchiveReader::Format::tar, std::move(input), nullptr, shown_as_) {}

  std::string describe() const override { return shown_as_; }

  void walk(const std::function<void(SourceEntry&, const Read&)>& each, const CancelToken& cancel) override {
    archive_.open(cancel);
    archive_entry* raw = nullptr;
    while (archive_.next(&raw)) {
      cancel.check();
      try {
        SourceEntry e = entry_of(raw);
        if (S_ISREG(e.stat.st_mode) && !e.hard_link)
          each(e, reader_of(e));
        else
          each(e, nullptr);
      } catch (const Error& error) {
        if (error.exit() == Exit::corrupt) throw error.in(describe());
        throw;
      }
    }
  }

 private:
  SourceEntry entry_of(archive_entry* raw) {
    const char* name = ::archive_entry_pathname(raw);
    if (name == nullptr) throw Error::corrupt("an entry has no readable name");
    SourceEntry e;
    e.path = inner_path(name);
    if (const char* target = ::archive_entry_hardlink(raw); target != nullptr) {
      e.hard_link = true;
      e.target = inner_path(target);
      return e;
    }
    set_stat(e, raw);
    if (S_ISLNK(e.stat.st_mode)) {
      const char* target = ::archive_entry_symlink(raw);
      if (target == nullptr) throw Error::corrupt("the link " + shown(e.path) + " has no readable target");
      e.target = target;
    }
    set_xattrs(e, raw);
    if (S_ISREG(e.stat.st_mode)) set_ranges(e, raw);
    return e;
  }

  template <class T>
  static T number(int64_t value, const char* what, const SourceEntry& e) {
    if (value < 0 || static_cast<uint64_t>(value) > std::numeric_limits<T>::max())
      throw Error::corrupt(fmt::format("the {} of {} is {}", what, shown(e.path), value));
    return static_cast<T>(value);
  }

  static void set_stat(SourceEntry& e, archive_entry* raw) {
    const mode_t mode = ::archive_entry_mode(raw);
    if ((mode & S_IFMT) == 0) throw Error::corrupt("the type of " + shown(e.path) + " is unknown");
    e.stat.st_mode = mode;
    e.stat.st_uid = number<uint32_t>(::archive_entry_uid(raw), "owner", e);
    e.stat.st_gid = number<uint32_t>(::archive_entry_gid(raw), "group", e);
    e.stat.st_size = static_cast<off_t>(number<uint64_t>(::archive_entry_size(raw), "size", e));
    set_time(e.stat.st_mtim, ::archive_entry_mtime(raw), ::archive_entry_mtime_nsec(raw));
    if (S_ISCHR(mode) || S_ISBLK(mode))
      e.stat.st_rdev =
          ::makedev(number<uint32_t>(static_cast<int64_t>(::archive_entry_rdevmajor(raw)), "major", e),
                    number<uint32_t>(static_cast<int64_t>(::archive_entry_rdevminor(raw)), "minor", e));
  }

  /// "-1.25" reaches us as -1 s and 250 ms, which as a timespec is -2 s and 750 ms.
  static void set_time(timespec& time, time_t seconds, long nanoseconds) {
    const bool before_1970 = seconds < 0 && nanoseconds > 0;
    time.tv_sec = before_1970 ? seconds - 1 : seconds;
    time.tv_nsec = before_1970 ? 1'000'000'000 - nanoseconds : nanoseconds;
  }

  static void set_xattrs(SourceEntry& e, archive_entry* raw) {
    const auto add = [&](const std::string& name, std::string value) {
      const auto same = [&](const auto& x) { return x.first == name; };
      std::erase_if(e.xattrs, same);  // bsdtar writes each in two notations
      e.xattrs.emplace_back(name, std::move(value));
    };
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    ::archive_entry_xattr_reset(raw);
    while (::archive_entry_xattr_next(raw, &name, &value, &size) == ARCHIVE_OK)
      add(name, std::string(static_cast<const char*>(value), size));
    if (auto acl = acl_of(e, raw, ARCHIVE_ENTRY_ACL_TYPE_ACCESS); !acl.empty())
      add("system.posix_acl_access", encode_posix_acl(std::move(acl)));
    if (auto acl = acl_of(e, raw, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT); !acl.empty())
      add("system.posix_acl_default", encode_posix_acl(std::move(acl)));
  }

  /// The entries of an ACL; none if the permission bits say as much.
  static std::vector<AclEntry> acl_of(const SourceEntry& e, archive_entry* raw, int kind) {
    std::vector<AclEntry> acl;
    if (::archive_entry_acl_reset(raw, kind) == 0) return acl;
    int type = 0;
    int permissions = 0;
    int tag = 0;
    int id = 0;
    const char* name = nullptr;
    while (::archive_entry_acl_next(raw, kind, &type, &permissions, &tag, &id, &name) == ARCHIVE_OK)
      acl.push_back(acl_entry(e, tag, permissions, id, name));
    return kind == ARCHIVE_ENTRY_ACL_TYPE_ACCESS && acl.size() <= 3 ? std::vector<AclEntry>() : acl;
  }

  static AclEntry acl_entry(const SourceEntry& e, int tag, int permissions, int id, const char* name) {
    const auto bits = static_cast<uint16_t>(permissions & 7);
    switch (tag) {
      case ARCHIVE_ENTRY_ACL_USER_OBJ:
        return {AclTag::owner, bits};
      case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
        return {AclTag::owning_group, bits};
      case ARCHIVE_ENTRY_ACL_MASK:
        return {AclTag::mask, bits};
      case ARCHIVE_ENTRY_ACL_OTHER:
        return {AclTag::other, bits};
      case ARCHIVE_ENTRY_ACL_USER:
        if (id < 0 && name != nullptr)
          if (const passwd* user = ::getpwnam(name); user != nullptr)
            return {AclTag::user, bits, user->pw_uid};
        break;
      case ARCHIVE_ENTRY_ACL_GROUP:
        if (id < 0 && name != nullptr)
          if (const group* g = ::getgrnam(name); g != nullptr) return {AclTag::group, bits, g->gr_gid};
        break;
      default:
        throw Error::corrupt("the ACL of " + shown(e.path) + " is no POSIX one");
    }
    if (id < 0)
      throw Error("the ACL of " + shown(e.path) + " names " + shown(name == nullptr ? "?" : name) +
                      ", who is unknown here",
                  "make the tar with numeric owners (tar --numeric-owner)");
    return {tag == ARCHIVE_ENTRY_ACL_USER ? AclTag::user : AclTag::group, bits, static_cast<uint32_t>(id)};
  }

  static void set_ranges(SourceEntry& e, archive_entry* raw) {
    const auto size = static_cast<uint64_t>(e.stat.st_size);
    la_int64_t offset = 0;
    la_int64_t length = 0;
    if (::archive_entry_sparse_reset(raw) == 0) {
      if (size > 0) e.ranges.push_back({0, size});
      return;
    }
    uint64_t end = 0;
    while (::archive_entry_sparse_next(raw, &offset, &length) == ARCHIVE_OK) {
      const auto from = number<uint64_t>(offset, "sparse map", e);
      const auto bytes = number<uint64_t>(length, "sparse map", e);
      if (from < end || from > size || bytes > size - from)
        throw Error::corrupt("the sparse map of " + shown(e.path) + " is out of order");
      end = from + bytes;
      if (bytes > 0) e.ranges.push_back({from, bytes});
    }
  }

  /// libarchive hands out blocks, each with its place; the caller wants the ranges filled.
  struct Block {
    ByteSpan bytes;
    uint64_t offset = 0;
  };

  Read reader_of(const SourceEntry& e) {
    return [this, &e, block = Block(), range = size_t{0},
            done = uint64_t{0}](MutableByteSpan into) mutable -> size_t {
      while (range < e.ranges.size() && done == e.ranges[range].length) {
        ++range;
        done = 0;
      }
      if (range == e.ranges.size()) return 0;
      const uint64_t at = e.ranges[range].offset + done;
      while (at >= block.offset + block.bytes.size()) next_block(block, e);
      if (at < block.offset) throw Error::corrupt("bytes of " + shown(e.path) + " are missing");
      const size_t skip = static_cast<size_t>(at - block.offset);
      const size_t n = static_cast<size_t>(
          std::min<uint64_t>({into.size(), e.ranges[range].length - done, block.bytes.size() - skip}));
      std::memcpy(into.data(), block.bytes.data() + skip, n);
      done += n;
      return n;
    };
  }

  void next_block(Block& block, const SourceEntry& e) {
    int64_t offset = 0;
    if (!archive_.next_block(block.bytes, offset)) throw Error::corrupt("it ends within " + shown(e.path));
    block.offset = number<uint64_t>(offset, "position in the bytes", e);
  }

  const std::string shown_as_;
  ArchiveReader archive_;
};

}  // namespace

std::unique_ptr<TreeSource> open_tar_source(ByteInput input, std::string shown_as) {
  return std::make_unique<TarSource>(std::move(input), std::move(shown_as));
}

std::unique_ptr<TreeSource> open_tar_source(int fd, const std::string& shown_as) {
  return open_tar_source(input_of_fd(fd, "the tar " + shown_as), "the tar " + shown_as);
}

}  // namespace coldstart
