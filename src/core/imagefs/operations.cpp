// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/operations.h"

#include <algorithm>
#include <cerrno>
#include <new>

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/imagefs/file_content.h"

namespace coldstart {

namespace {

/// The image never changes, so what the kernel knows it may know for good.
constexpr double for_ever = 1e9;  // seconds

ImageOperations& self(fuse_req_t request) {
  return *static_cast<ImageOperations*>(FuseSession::user_data(request));
}

/// Runs one request: whatever is thrown becomes its answer, as no exception may pass through libfuse.
template <class Body>
void answer(fuse_req_t request, Body body) noexcept {
  try {
    body(self(request));
  } catch (const Refusal& refusal) {
    fuse_reply_err(request, refusal.error);
  } catch (const std::bad_alloc&) {
    fuse_reply_err(request, ENOMEM);
  } catch (const std::exception& e) {
    log::warn("{}", e.what());
    fuse_reply_err(request, EIO);
  }
}

bool is_acl(std::string_view name) {
  return name.starts_with("system.posix_acl_");
}

}  // namespace

ImageOperations::ImageOperations(const ServingParts& parts)
    : parts_(parts), image_(parts.image), files_(parts.files) {
  for (const XattrRecord& attribute : image_.xattr_kinds()) {
    const auto name = image_.xattr(attribute).name;
    xattr_names_.emplace(name);
    has_acls_ = has_acls_ || is_acl(name);
  }
}

void ImageOperations::init(fuse_conn_info& connection) {
  const auto want = [&](unsigned capability, bool yes) {
    if (yes && (connection.capable & capability) != 0)
      connection.want |= capability;
    else
      connection.want &= ~capability;
  };
  want(FUSE_CAP_ASYNC_READ, true);
  want(FUSE_CAP_PARALLEL_DIROPS, true);
  want(FUSE_CAP_READDIRPLUS, true);
  want(FUSE_CAP_READDIRPLUS_AUTO, true);
  want(FUSE_CAP_CACHE_SYMLINKS, true);
  want(FUSE_CAP_EXPORT_SUPPORT, true);
  // Asking for ACLs costs a request for each inode that a stranger touches: only where there are some.
  want(FUSE_CAP_POSIX_ACL, has_acls_);
  // Requests are small, so splicing them out of the kernel costs more than it saves; the answers lie in our
  // own memory. Nothing changes, so nothing has to be invalidated. Locks are the kernel's own affair.
  want(FUSE_CAP_SPLICE_READ, false);
  want(FUSE_CAP_AUTO_INVAL_DATA, false);
  want(FUSE_CAP_FLOCK_LOCKS, false);
  want(FUSE_CAP_POSIX_LOCKS, false);
  no_open_ = (connection.capable & FUSE_CAP_NO_OPEN_SUPPORT) != 0;
  no_opendir_ = (connection.capable & FUSE_CAP_NO_OPENDIR_SUPPORT) != 0;
  parts_.passthrough.ask_for(connection);
  connection.max_background = 256;
  connection.congestion_threshold = 192;
  connection.time_gran = 1;
}

const InodeRecord& ImageOperations::record(fuse_ino_t inode) const {
  if (!image_.valid(inode)) throw Refusal{ESTALE};
  return image_.inode(static_cast<uint32_t>(inode));
}

struct stat ImageOperations::status(uint32_t inode) const {
  const InodeRecord& r = image_.inode(inode);
  struct stat s {};
  s.st_ino = inode;
  s.st_mode = r.mode;
  s.st_nlink = r.links;
  s.st_uid = r.uid;
  s.st_gid = r.gid;
  s.st_rdev = r.device;
  s.st_size = static_cast<off_t>(r.size);
  s.st_blksize = 4096;
  if (S_ISREG(r.mode)) s.st_blocks = static_cast<blkcnt_t>((files_.allocated(r) + 4095) / 4096 * 8);
  s.st_mtim = {r.mtime, static_cast<long>(r.mtime_ns)};
  s.st_atim = s.st_mtim;
  s.st_ctim = s.st_mtim;
  return s;
}

fuse_entry_param ImageOperations::entry(uint32_t inode) const {
  fuse_entry_param e{};
  e.ino = inode;
  e.attr = status(inode);
  e.attr_timeout = for_ever;
  e.entry_timeout = for_ever;
  return e;
}

void ImageOperations::lookup(fuse_req_t request, fuse_ino_t parent, std::string_view name) {
  const InodeRecord& folder = record(parent);
  uint32_t found = 0;
  if (name == ".")  // asked for when a file handle (name_to_handle_at, NFS) is opened
    found = static_cast<uint32_t>(parent);
  else if (name == "..")
    found = parent == root_inode ? root_inode : folder.parent;
  else
    found = image_.lookup(folder, name);
  fuse_entry_param e{};
  if (found != 0)
    e = entry(found);
  else
    e.entry_timeout = for_ever;  // that it is not there may be remembered as well
  fuse_reply_entry(request, &e);
}

void ImageOperations::getattr(fuse_req_t request, fuse_ino_t inode) {
  record(inode);
  const struct stat s = status(static_cast<uint32_t>(inode));
  fuse_reply_attr(request, &s, for_ever);
}

void ImageOperations::readlink(fuse_req_t request, fuse_ino_t inode) {
  const InodeRecord& r = record(inode);
  if (!S_ISLNK(r.mode)) throw Refusal{EINVAL};
  fuse_reply_readlink(request, std::string(image_.target(r)).c_str());
}

// Files that are complete in the cache are passed through; the kernel then needs us no more. Where nothing
// can be passed through, the kernel opens and closes files without asking us at all, which is quicker, and
// keeps their pages.

void ImageOperations::probe_passthrough() {
  if (!parts_.passthrough.agreed()) return;
  try {
    const int id = parts_.passthrough.register_backing(parts_.cache.sample().get());
    passes_through_ = id > 0;
    if (id > 0)
      parts_.passthrough.unregister_backing(id);
    else
      log::debug("no passthrough: {}", Error::sys(-id, "the kernel refuses a file of the cache").what());
  } catch (const Error& e) {
    log::debug("no passthrough: {}", e.what());
  }
}

int ImageOperations::backing(uint32_t inode) {
  if (!passes_through_) return 0;
  const InodeRecord& file = image_.inode(inode);
  const Fd complete = parts_.cache.find(content_name(image_, file), file.size);
  return complete ? std::max(parts_.passthrough.register_backing(complete.get()), 0) : 0;
}

void ImageOperations::open(fuse_req_t request, fuse_ino_t number, fuse_file_info info) {
  if (!passes_through_ && no_open_) throw Refusal{ENOSYS};
  record(number);
  const auto inode = static_cast<uint32_t>(number);
  const int id = parts_.opens.open(inode, [&] { return backing(inode); });
  parts_.metrics.opens.fetch_add(1, std::memory_order_relaxed);
  info.noflush = 1;
  int answered = 0;
  if (id != 0) {
    parts_.metrics.passed_through.fetch_add(1, std::memory_order_relaxed);
    answered = Passthrough::reply_open(request, info, id);
  } else {
    info.keep_cache = 1;
    answered = fuse_reply_open(request, &info);
    parts_.filler.want(inode);
  }
  // The open was interrupted, and will not be released.
  if (answered == -ENOENT)
    parts_.opens.release(inode, [&](int unused) { parts_.passthrough.unregister_backing(unused); });
}

void ImageOperations::release(fuse_req_t request, fuse_ino_t inode) {
  record(inode);
  fuse_reply_err(request, 0);
  parts_.opens.release(static_cast<uint32_t>(inode),
                       [&](int unused) { parts_.passthrough.unregister_backing(unused); });
}

void ImageOperations::opendir(fuse_req_t request, fuse_file_info info) {
  if (no_opendir_) throw Refusal{ENOSYS};
  info.keep_cache = 1;
  info.cache_readdir = 1;
  fuse_reply_open(request, &info);
}

void ImageOperations::read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset) {
  const InodeRecord& r = record(inode);
  if (!S_ISREG(r.mode)) throw Refusal{EINVAL};
  if (parts_.recorder != nullptr)
    parts_.recorder->note(static_cast<uint32_t>(inode), static_cast<uint64_t>(offset), size);
  const bool begins = offset == 0 && parts_.loader != nullptr;
  if (begins) parts_.loader->begins(static_cast<uint32_t>(inode));
  Gather gather;
  try {
    gather = files_.read(static_cast<uint32_t>(inode), static_cast<uint64_t>(offset), size);
  } catch (const Error& e) {
    parts_.metrics.errors.fetch_add(1, std::memory_order_relaxed);
    throw e.in("cannot read " + path_in_image(image_, static_cast<uint32_t>(inode)));
  }
  fuse_reply_iov(request, gather.pieces.data(), static_cast<int>(gather.pieces.size()));
  if (begins && gather.is_elf()) parts_.loader->started(static_cast<uint32_t>(inode));
  if (!passes_through_ && !gather.cached_whole) parts_.filler.want(static_cast<uint32_t>(inode));
}

void ImageOperations::readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, bool plus) {
  const InodeRecord& folder = record(inode);
  if (!S_ISDIR(folder.mode)) throw Refusal{ENOTDIR};
  const auto entries = image_.entries(folder);
  std::vector<char> buffer(size);
  size_t used = 0;
  std::string name;
  // Positions: 0 is ".", 1 is "..", from 2 on the entries; an entry's offset is the position after it.
  for (auto at = static_cast<size_t>(offset); at < entries.size() + 2; ++at) {
    fuse_entry_param e{};
    if (at < 2) {  // not looked up by the kernel, so without an inode to remember
      name = at == 0 ? "." : "..";
      e.attr.st_ino = at == 0 || inode == root_inode ? inode : folder.parent;
      e.attr.st_mode = S_IFDIR;
    } else {
      name = image_.name(entries[at - 2]);
      e = plus ? entry(entries[at - 2].inode) : fuse_entry_param{};
      e.attr.st_ino = entries[at - 2].inode;
      e.attr.st_mode = image_.inode(entries[at - 2].inode).mode;
    }
    const auto next = static_cast<off_t>(at + 1);
    const size_t need =
        plus ? fuse_add_direntry_plus(request, buffer.data() + used, size - used, name.c_str(), &e, next)
             : fuse_add_direntry(request, buffer.data() + used, size - used, name.c_str(), &e.attr, next);
    if (need > size - used) break;
    used += need;
  }
  fuse_reply_buf(request, buffer.data(), used);
}

void ImageOperations::statfs(fuse_req_t request) {
  struct statvfs s {};
  s.f_bsize = s.f_frsize = 4096;
  s.f_blocks = (image_.total_bytes() + 4095) / 4096;
  s.f_files = image_.inode_count();
  s.f_namemax = 255;
  fuse_reply_statfs(request, &s);
}

void ImageOperations::getxattr(fuse_req_t request, fuse_ino_t inode, std::string_view name, size_t size) {
  if (xattr_names_.empty()) throw Refusal{ENOSYS};  // the kernel never asks again, and says EOPNOTSUPP itself
  const InodeRecord& r = record(inode);
  for (size_t i = 0; i < image_.xattr_count(r); ++i) {
    const ImageReader::Xattr attribute = image_.xattr(r, i);
    if (attribute.name != name) continue;
    if (size == 0) {
      fuse_reply_xattr(request, attribute.value.size());
      return;
    }
    if (attribute.value.size() > size) throw Refusal{ERANGE};
    fuse_reply_buf(request, attribute.value.data(), attribute.value.size());
    return;
  }
  throw Refusal{supports(name) ? ENODATA : EOPNOTSUPP};
}

// Who is told that this file has no such attribute asks for the next file's; `ls -l` asks for the ACL and the
// SELinux label of each. Who is told that there are none here asks no more.
bool ImageOperations::supports(std::string_view attribute) const {
  if (is_acl(attribute)) return has_acls_;
  const bool is_users = !attribute.starts_with("security.") && !attribute.starts_with("system.");
  return is_users || xattr_names_.contains(attribute);
}

void ImageOperations::listxattr(fuse_req_t request, fuse_ino_t inode, size_t size) {
  if (xattr_names_.empty()) throw Refusal{ENOSYS};
  const InodeRecord& r = record(inode);
  std::string names;
  for (size_t i = 0; i < image_.xattr_count(r); ++i) names.append(image_.xattr(r, i).name).push_back('\0');
  if (size == 0) {
    fuse_reply_xattr(request, names.size());
    return;
  }
  if (names.size() > size) throw Refusal{ERANGE};
  fuse_reply_buf(request, names.data(), names.size());
}

void ImageOperations::lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence) {
  const InodeRecord& r = record(inode);
  if (!S_ISREG(r.mode) || offset < 0 || (whence != SEEK_DATA && whence != SEEK_HOLE)) throw Refusal{EINVAL};
  const off_t at = files_.seek(r, static_cast<uint64_t>(offset), whence == SEEK_DATA);
  if (at < 0) throw Refusal{static_cast<int>(-at)};
  fuse_reply_lseek(request, at);
}

const fuse_lowlevel_ops& ImageOperations::table() {
  static const fuse_lowlevel_ops operations = [] {
    fuse_lowlevel_ops o{};
    o.init = [](void* fs, fuse_conn_info* connection) {
      static_cast<ImageOperations*>(FuseSession::user_data(fs))->init(*connection);
    };
    o.lookup = [](fuse_req_t q, fuse_ino_t parent, const char* name) {
      answer(q, [=](ImageOperations& fs) { fs.lookup(q, parent, name); });
    };
    o.forget = [](fuse_req_t q, fuse_ino_t, uint64_t) { fuse_reply_none(q); };
    o.forget_multi = [](fuse_req_t q, size_t, fuse_forget_data*) { fuse_reply_none(q); };
    o.getattr = [](fuse_req_t q, fuse_ino_t inode, fuse_file_info*) {
      answer(q, [=](ImageOperations& fs) { fs.getattr(q, inode); });
    };
    o.readlink = [](fuse_req_t q, fuse_ino_t inode) {
      answer(q, [=](ImageOperations& fs) { fs.readlink(q, inode); });
    };
    o.open = [](fuse_req_t q, fuse_ino_t inode, fuse_file_info* info) {
      answer(q, [=](ImageOperations& fs) { fs.open(q, inode, *info); });
    };
    o.release = [](fuse_req_t q, fuse_ino_t inode, fuse_file_info*) {
      answer(q, [=](ImageOperations& fs) { fs.release(q, inode); });
    };
    o.opendir = [](fuse_req_t q, fuse_ino_t, fuse_file_info* info) {
      answer(q, [=](ImageOperations& fs) { fs.opendir(q, *info); });
    };
    o.read = [](fuse_req_t q, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info*) {
      answer(q, [=](ImageOperations& fs) { fs.read(q, inode, size, offset); });
    };
    o.readdir = [](fuse_req_t q, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info*) {
      answer(q, [=](ImageOperations& fs) { fs.readdir(q, inode, size, offset, false); });
    };
    o.readdirplus = [](fuse_req_t q, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info*) {
      answer(q, [=](ImageOperations& fs) { fs.readdir(q, inode, size, offset, true); });
    };
    o.statfs = [](fuse_req_t q, fuse_ino_t) { answer(q, [=](ImageOperations& fs) { fs.statfs(q); }); };
    o.getxattr = [](fuse_req_t q, fuse_ino_t inode, const char* name, size_t size) {
      answer(q, [=](ImageOperations& fs) { fs.getxattr(q, inode, name, size); });
    };
    o.listxattr = [](fuse_req_t q, fuse_ino_t inode, size_t size) {
      answer(q, [=](ImageOperations& fs) { fs.listxattr(q, inode, size); });
    };
    o.ioctl = [](fuse_req_t q, fuse_ino_t inode, unsigned command, void*, fuse_file_info*, unsigned,
                 const void*, size_t,
                 size_t room) { answer(q, [=](ImageOperations& fs) { fs.ioctl(q, inode, command, room); }); };
    o.lseek = [](fuse_req_t q, fuse_ino_t inode, off_t offset, int whence, fuse_file_info*) {
      answer(q, [=](ImageOperations& fs) { fs.lseek(q, inode, offset, whence); });
    };
    return o;
  }();
  return operations;
}

}  // namespace coldstart
