// SPDX-License-Identifier: Apache-2.0
#include "core/image/diff.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include <sys/stat.h>

namespace coldstart {

namespace {

using Kind = PathChange::Kind;

bool is_folder(const InodeRecord& inode) {
  return S_ISDIR(inode.mode);
}

class Differ {
 public:
  Differ(const ImageReader& older, const ImageReader& newer,
         const std::function<void(const PathChange&)>& each)
      : older_(older), newer_(newer), each_(each) {}

  DiffTotals run() {
    both("", older_.inode(root_inode), newer_.inode(root_inode));
    count_new_chunks();
    return totals_;
  }

 private:
  void tell(const PathChange& change) {
    ++(change.kind == Kind::added     ? totals_.added
       : change.kind == Kind::removed ? totals_.removed
                                      : totals_.changed);
    each_(change);
  }

  /// A path that both have. Recursion: an image is at most max_depth deep.
  void both(const std::string& path, const InodeRecord& a, const InodeRecord& b) {
    if (auto what = differences(a, b); !what.empty())
      tell({Kind::changed, path, std::move(what), S_ISREG(b.mode) ? b.size : 0});
    const auto in_a = is_folder(a) ? older_.entries(a) : std::span<const EntryRecord>();
    const auto in_b = is_folder(b) ? newer_.entries(b) : std::span<const EntryRecord>();
    auto left = in_a.begin();
    auto right = in_b.begin();
    while (left != in_a.end() || right != in_b.end()) {
      const int order = left == in_a.end()    ? 1
                        : right == in_b.end() ? -1
                                              : older_.name(*left).compare(newer_.name(*right));
      if (order < 0) {
        one(Kind::removed, older_, path, *left++);
      } else if (order > 0) {
        one(Kind::added, newer_, path, *right++);
      } else {
        both(below(path, newer_.name(*right)), older_.inode(left->inode), newer_.inode(right->inode));
        ++left;
        ++right;
      }
    }
  }

  /// A path that only `image` has, and all below it.
  void one(Kind kind, const ImageReader& image, const std::string& folder, const EntryRecord& entry) {
    const InodeRecord& inode = image.inode(entry.inode);
    const std::string path = below(folder, image.name(entry));
    tell({kind, path, {}, S_ISREG(inode.mode) ? inode.size : 0});
    if (!is_folder(inode)) return;
    for (const EntryRecord& e : image.entries(inode)) one(kind, image, path, e);
  }

  static std::string below(const std::string& folder, std::string_view name) {
    return folder.empty() ? std::string(name) : folder + "/" + std::string(name);
  }

  std::vector<std::string> differences(const InodeRecord& a, const InodeRecord& b) const {
    std::vector<std::string> what;
    const auto note = [&](const char* name, bool differs) {
      if (differs) what.emplace_back(name);
    };
    const bool same_type = (a.mode & S_IFMT) == (b.mode & S_IFMT);
    note("type", !same_type);
    if (same_type) {
      note("content", S_ISREG(a.mode) && !same_content(a, b));
      note("target", S_ISLNK(a.mode) && older_.target(a) != newer_.target(b));
      note("device", a.device != b.device);
    }
    note("mode", (a.mode & ~static_cast<uint32_t>(S_IFMT)) != (b.mode & ~static_cast<uint32_t>(S_IFMT)));
    note("owner", a.uid != b.uid || a.gid != b.gid);
    note("mtime", a.mtime != b.mtime || a.mtime_ns != b.mtime_ns);
    note("xattrs", !same_xattrs(a, b));
    note("links", same_type && !is_folder(a) && a.links != b.links);
    return what;
  }

  bool same_content(const InodeRecord& a, const InodeRecord& b) const {
    const auto left = older_.extents(a);
    const auto right = newer_.extents(b);
    return a.size == b.size &&
           std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [&](const ExtentRecord& x, const ExtentRecord& y) {
                        return x.offset == y.offset &&
                               older_.chunks()[x.chunk].digest == newer_.chunks()[y.chunk].digest;
                      });
  }

  bool same_xattrs(const InodeRecord& a, const InodeRecord& b) const {
    if (a.xattr_count != b.xattr_count) return false;
    using Pairs = std::set<std::pair<std::string_view, std::string_view>>;
    const auto all = [](const ImageReader& image, const InodeRecord& inode) {
      Pairs pairs;
      for (size_t i = 0; i < image.xattr_count(inode); ++i) {
        const ImageReader::Xattr x = image.xattr(inode, i);
        pairs.emplace(x.name, x.value);
      }
      return pairs;
    };
    return all(older_, a) == all(newer_, b);
  }

  void count_new_chunks() {
    std::unordered_set<Digest, DigestHash> known;
    for (const ChunkRecord& chunk : older_.chunks()) known.insert(ImageReader::digest(chunk));
    for (const ChunkRecord& chunk : newer_.chunks())
      if (!known.contains(ImageReader::digest(chunk))) totals_.new_bytes += chunk.length;
  }

  const ImageReader& older_;
  const ImageReader& newer_;
  const std::function<void(const PathChange&)>& each_;
  DiffTotals totals_;
};

}  // namespace

DiffTotals diff_images(const ImageReader& older, const ImageReader& newer,
                       const std::function<void(const PathChange&)>& each) {
  return Differ(older, newer, each).run();
}

}  // namespace coldstart
