// SPDX-License-Identifier: Apache-2.0
// From the tree in memory to the sections of a blob. The same tree gives the same sections, whatever the
// order in which it was added: inodes by a depth-first walk with names sorted, all else in the order of
// inodes, chunks and attributes by their first use.
#include <algorithm>
#include <numeric>
#include <unordered_map>

#include <sys/stat.h>

#include "core/base/error.h"
#include "core/image/tree.h"

namespace coldstart {

class TreeLayout {
 public:
  explicit TreeLayout(const ImageTree& tree)
      : tree_(tree), first_(tree.nodes_.size() + 1), number_(tree.nodes_.size()) {}

  BlobSections run() {
    sort_names();
    number_inodes();
    for (const uint32_t node : by_number_) inode(node);
    return std::move(out_);
  }

 private:
  /// order_: names by (parent, text); first_[n]: where the names of folder n begin in it.
  void sort_names() {
    for (uint32_t n = 0; n < tree_.names_.size(); ++n)
      if (tree_.names_[n].node != UINT32_MAX) order_.push_back(n);  // what is left of it
    std::sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) {
      const auto ka = tree_.key_of(a);
      const auto kb = tree_.key_of(b);
      return ka.parent != kb.parent ? ka.parent < kb.parent : ka.text < kb.text;
    });
    for (const uint32_t n : order_) ++first_[tree_.names_[n].parent + 1];
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
  }

  std::span<const uint32_t> names_in(uint32_t folder) const {
    return std::span(order_).subspan(first_[folder], first_[folder + 1] - first_[folder]);
  }

  void number_inodes() {
    const auto number = [&](uint32_t node) {
      by_number_.push_back(node);
      number_[node] = static_cast<uint32_t>(by_number_.size());
    };
    number(0);
    parent_.assign(tree_.nodes_.size(), 0);
    std::vector<std::pair<uint32_t, size_t>> walk = {{0, 0}};  // a folder, the next of its names
    while (!walk.empty()) {
      auto& [folder, next] = walk.back();
      const auto names = names_in(folder);
      if (next == names.size()) {
        walk.pop_back();
        continue;
      }
      const uint32_t node = tree_.names_[names[next++]].node;
      if (number_[node] != 0) continue;  // a hard link
      number(node);
      if (tree_.is_folder(node)) {
        parent_[node] = folder;
        walk.emplace_back(node, 0);  // invalidates folder and next
      }
    }
  }

  void inode(uint32_t node) {
    InodeRecord r = tree_.nodes_[node];
    const uint32_t xattrs = r.xattrs;
    r.xattrs = static_cast<uint32_t>(out_.xattr_refs.size());
    for (uint32_t i = 0; i < r.xattr_count; ++i)
      out_.xattr_refs.push_back(xattr(tree_.xattr_refs_[xattrs + i]));
    if (S_ISDIR(r.mode)) {
      folder(node, r);
    } else if (S_ISREG(r.mode)) {
      const uint64_t pieces = r.first;
      r.first = out_.extents.size();
      for (uint32_t i = 0; i < r.count; ++i) extent(tree_.pieces_[pieces + i]);
      if (r.size > UINT64_MAX - out_.total_bytes)
        throw Error::corrupt("the files have more than 2^64 bytes in all");
      out_.total_bytes += r.size;
    } else if (S_ISLNK(r.mode)) {
      r.first = out_.add_text(std::string_view(tree_.texts_).substr(r.first, r.size));
    }
    out_.inodes.push_back(r);
  }

  void folder(uint32_t node, InodeRecord& r) {
    const auto names = names_in(node);
    r.parent = number_[parent_[node]];
    r.first = out_.entries.size();
    r.count = static_cast<uint32_t>(names.size());
    r.links = 2;
    for (const uint32_t n : names) {
      const auto& name = tree_.names_[n];
      if (tree_.is_folder(name.node)) ++r.links;
      out_.entries.push_back({number_[name.node], name.length, out_.add_text(tree_.text_of(name))});
    }
  }

  void extent(const ImageTree::Piece& piece) {
    const auto [at, first] = chunks_.try_emplace(piece.digest, static_cast<uint32_t>(out_.chunks.size()));
    if (first) out_.chunks.push_back({piece.digest.raw, piece.length, 0});
    out_.extents.push_back({piece.offset, at->second, 0});
  }

  uint32_t xattr(uint32_t index) {
    if (by_index_.empty()) {
      by_index_.resize(tree_.xattrs_.size());
      for (const auto& [pair, i] : tree_.xattrs_) by_index_[i] = &pair;
      xattr_number_.assign(by_index_.size(), UINT32_MAX);
    }
    if (xattr_number_[index] == UINT32_MAX) {
      const auto& [name, value] = *by_index_[index];
      xattr_number_[index] = static_cast<uint32_t>(out_.xattrs.size());
      const uint64_t name_at = out_.add_text(name);
      out_.xattrs.push_back({name_at, out_.add_text(value), static_cast<uint32_t>(name.size()),
                             static_cast<uint32_t>(value.size())});
    }
    return xattr_number_[index];
  }

  const ImageTree& tree_;
  BlobSections out_;
  std::vector<uint32_t> order_;
  std::vector<size_t> first_;
  std::vector<uint32_t> number_;     // of each node, 0: none yet
  std::vector<uint32_t> by_number_;  // nodes
  std::vector<uint32_t> parent_;     // of folders
  std::unordered_map<Digest, uint32_t, DigestHash> chunks_;
  std::vector<const std::pair<std::string, std::string>*> by_index_;
  std::vector<uint32_t> xattr_number_;
};

BlobSections ImageTree::finish() const {
  return TreeLayout(*this).run();
}

}  // namespace coldstart
