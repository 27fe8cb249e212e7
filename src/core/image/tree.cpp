// SPDX-License-Identifier: Apache-2.0
#include "core/image/tree.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/image/blob_check.h"
#include "core/image/path.h"

namespace coldstart {

namespace {

constexpr uint32_t none = UINT32_MAX;
constexpr uint32_t root = 0;
// The hash set is made before its owner's other members, so it starts small.
constexpr size_t first_buckets = 64;

/// What an image can say of an inode; throws for what it cannot.
InodeRecord record_of(const SourceEntry& e) {
  const struct stat& st = e.stat;
  if (st.st_rdev > UINT32_MAX)
    throw Error("the device number of " + shown(e.path) + " is too large for an image");
  if (st.st_mtim.tv_nsec < 0 || st.st_mtim.tv_nsec >= 1'000'000'000)
    throw Error::corrupt("the time of " + shown(e.path) + " is none");
  InodeRecord r{};
  r.mode = st.st_mode;
  r.uid = st.st_uid;
  r.gid = st.st_gid;
  r.mtime = st.st_mtim.tv_sec;
  r.mtime_ns = static_cast<uint32_t>(st.st_mtim.tv_nsec);
  if (S_ISREG(st.st_mode)) r.size = static_cast<uint64_t>(st.st_size);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) r.device = static_cast<uint32_t>(st.st_rdev);
  return r;
}

}  // namespace

ImageTree::ImageTree() : index_(first_buckets, NameHash{this}, NameEqual{this}) {
  // Until the source says otherwise.
  nodes_.push_back({.mode = S_IFDIR | 0755});
}

std::string_view ImageTree::text_of(const Name& name) const {
  return std::string_view(texts_).substr(name.offset, name.length);
}

ImageTree::NameKey ImageTree::key_of(uint32_t name) const {
  return {names_[name].parent, text_of(names_[name])};
}

bool ImageTree::is_folder(uint32_t node) const {
  return S_ISDIR(nodes_[node].mode);
}

uint32_t ImageTree::find_node(std::string_view path) const {
  uint32_t at = root;
  while (!path.empty() && at != none) {
    const size_t slash = std::min(path.find('/'), path.size());
    const auto name = index_.find(NameKey{at, path.substr(0, slash)});
    at = name == index_.end() ? none : names_[*name].node;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return at;
}

/// The folder at `path`, made with its parents if the source left it out.
uint32_t ImageTree::folder_for(std::string_view path) {
  uint32_t at = root;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view text = path.substr(begin, end - begin);
    const auto name = index_.find(NameKey{at, text});
    uint32_t next = name == index_.end() ? none : names_[*name].node;
    if (next == none) {
      SourceEntry missing;
      missing.path = path.substr(0, end);
      missing.stat.st_mode = S_IFDIR | 0755;
      next = add_node(missing);
      put_name(at, text, next, missing.path);
    }
    if (!is_folder(next))
      throw Error::corrupt("the entry below " + shown(path.substr(0, end)) + " cannot be: that is no folder");
    at = next;
    begin = end + 1;
  }
  return at;
}

void ImageTree::add(const SourceEntry& entry) {
  if (entry.path.empty()) {
    if (!S_ISDIR(entry.stat.st_mode) || entry.hard_link) throw Error::corrupt("the root is no folder");
    return set_folder(root, entry);
  }
  if (static_cast<size_t>(std::count(entry.path.begin(), entry.path.end(), '/')) >= max_depth)
    throw Error(fmt::format("{} is nested deeper than {} folders", shown(entry.path), max_depth));
  const uint32_t parent = folder_for(parent_of(entry.path));
  if (entry.hard_link) {
    const uint32_t node = find_node(entry.target);
    if (node == none || is_folder(node))
      throw Error::corrupt(shown(entry.path) + " is a hard link to " + shown(entry.target) +
                           (node == none ? ", which is not there" : ", which is a folder"));
    return put_name(parent, name_of(entry.path), node, entry.path);
  }
  const uint32_t there = find_node(entry.path);
  if (there != none && is_folder(there) && S_ISDIR(entry.stat.st_mode)) return set_folder(there, entry);
  put_name(parent, name_of(entry.path), add_node(entry), entry.path);
}

uint32_t ImageTree::add_node(const SourceEntry& entry) {
  if (nodes_.size() >= max_inodes)
    throw Error(fmt::format("the tree has more than the {} files that an image can hold", max_inodes));
  InodeRecord r = record_of(entry);
  if (S_ISREG(r.mode)) r.first = pieces_.size();
  if (S_ISLNK(r.mode)) {
    if (entry.target.empty() || entry.target.size() > max_target_bytes)
      throw Error::corrupt(
          fmt::format("the target of the link {} has {} bytes", shown(entry.path), entry.target.size()));
    r.size = entry.target.size();
    r.first = texts_.size();
    texts_ += entry.target;
  }
  set_xattrs(r, entry);
  nodes_.push_back(r);
  return static_cast<uint32_t>(nodes_.size() - 1);
}

void ImageTree::set_folder(uint32_t node, const SourceEntry& entry) {
  InodeRecord r = record_of(entry);
  r.links = nodes_[node].links;
  set_xattrs(r, entry);
  nodes_[node] = r;
}

void ImageTree::set_xattrs(InodeRecord& record, const SourceEntry& entry) {
  auto sorted = entry.xattrs;
  std::sort(sorted.begin(), sorted.end());
  record.xattrs = static_cast<uint32_t>(xattr_refs_.size());
  record.xattr_count = static_cast<uint32_t>(sorted.size());
  for (auto& x : sorted) {
    if (x.first.empty() || x.first.size() > max_name_bytes || x.second.size() > max_xattr_value_bytes)
      throw Error::corrupt("an extended attribute of " + shown(entry.path) + " is too long");
    const auto next = static_cast<uint32_t>(xattrs_.size());
    xattr_refs_.push_back(xattrs_.try_emplace(std::move(x), next).first->second);
  }
}

bool ImageTree::has_entries(uint32_t folder) const {
  return nodes_[folder].links > 0;
}

void ImageTree::put_name(uint32_t parent, std::string_view text, uint32_t node, const std::string& path) {
  if (const auto there = index_.find(NameKey{parent, text}); there != index_.end()) {
    Name& name = names_[*there];
    if (is_folder(name.node) && has_entries(name.node))
      throw Error::corrupt("the folder " + shown(path) + " comes again as something else");
    if (name.node != node && !is_folder(name.node)) --nodes_[name.node].links;
    if (name.node != node && !is_folder(node)) ++nodes_[node].links;
    name.node = node;
    return;
  }
  names_.push_back({parent, node, static_cast<uint32_t>(text.size()), texts_.size()});
  texts_ += text;
  index_.insert(static_cast<uint32_t>(names_.size() - 1));
  ++nodes_[parent].links;
  if (!is_folder(node)) ++nodes_[node].links;
}

ImageTree::Piece& ImageTree::add_piece(uint64_t offset, uint32_t length) {
  ++nodes_.back().count;
  return pieces_.emplace_back(Piece{{}, offset, length});
}

}  // namespace coldstart
