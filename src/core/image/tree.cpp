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
constexpr int most_links_on_a_path = 40;  // as Linux has it

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
  nodes_.push_back({.mode = S_IFDIR | 0755, .first = none});
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

uint32_t ImageTree::child(uint32_t folder, std::string_view name) const {
  const auto found = index_.find(NameKey{folder, name});
  return found == index_.end() ? none : names_[*found].node;
}

uint32_t ImageTree::find_node(std::string_view path) const {
  uint32_t at = root;
  while (!path.empty() && at != none) {
    const size_t slash = std::min(path.find('/'), path.size());
    at = child(at, path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return at;
}

uint32_t ImageTree::make_folder(uint32_t parent, std::string_view name, std::string_view path) {
  SourceEntry missing;
  missing.path = path;
  missing.stat.st_mode = S_IFDIR | 0755;
  const uint32_t node = add_node(missing);
  put_name(parent, name, node, missing.path);
  return node;
}

/// The folder at `path`, made with its parents if the source left it out.
uint32_t ImageTree::folder_for(std::string_view path) {
  uint32_t at = root;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view text = path.substr(begin, end - begin);
    uint32_t next = child(at, text);
    if (next == none) next = make_folder(at, text, path.substr(0, end));
    if (layer_ > 0 && S_ISLNK(nodes_[next].mode)) return folder_for(through_links(path));
    if (!is_folder(next))
      throw Error::corrupt("the entry below " + shown(path.substr(0, end)) + " cannot be: that is no folder");
    at = next;
    begin = end + 1;
  }
  return at;
}

/// The same place without a symlink on the way: as the kernel would go in a chroot.
std::string ImageTree::through_links(std::string_view path) const {
  std::string rest(path);
  std::vector<std::pair<uint32_t, std::string>> way = {{root, {}}};  // folders entered; the path to each
  for (int links = 0; !rest.empty();) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string name = rest.substr(0, slash);
    rest.erase(0, slash + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (way.size() > 1) way.pop_back();
      continue;
    }
    const uint32_t node = way.back().first == none ? none : child(way.back().first, name);
    if (node == none || !S_ISLNK(nodes_[node].mode)) {
      std::string here = way.back().second;
      if (!here.empty()) here += '/';
      way.emplace_back(node, here + name);
      if (way.size() > max_depth) throw Error::corrupt(shown(path) + " leads too deep through links");
      continue;
    }
    if (++links > most_links_on_a_path) throw Error::corrupt(shown(path) + " leads through too many links");
    const InodeRecord& link = nodes_[node];
    const std::string target = texts_.substr(link.first, link.size);
    if (target.starts_with('/')) way.resize(1);
    rest.insert(0, target + "/");
  }
  return way.back().second;
}

void ImageTree::add(const SourceEntry& entry) {
  layer_ = entry.layer;
  if (entry.removes != Removes::nothing) return remove(entry);
  if (entry.path.empty()) {
    if (!S_ISDIR(entry.stat.st_mode) || entry.hard_link) throw Error::corrupt("the root is no folder");
    return set_folder(root, entry);
  }
  if (static_cast<size_t>(std::count(entry.path.begin(), entry.path.end(), '/')) >= max_depth)
    throw Error(fmt::format("{} is nested deeper than {} folders", shown(entry.path), max_depth));
  const uint32_t parent = folder_for(parent_of(entry.path));
  const std::string_view name = name_of(entry.path);
  if (entry.hard_link) return put_name(parent, name, link_target(entry), entry.path);
  const uint32_t there = child(parent, name);
  if (there == none || !is_folder(there) || !S_ISDIR(entry.stat.st_mode))
    return put_name(parent, name, add_node(entry), entry.path);
  set_folder(there, entry);
  names_[*index_.find(NameKey{parent, name})].layer = layer_;
}

uint32_t ImageTree::link_target(const SourceEntry& entry) const {
  uint32_t node = find_node(entry.target);
  if (node == none && layer_ > 0) {
    const uint32_t folder = find_node(through_links(parent_of(entry.target)));
    if (folder != none) node = child(folder, name_of(entry.target));
  }
  if (node == none || is_folder(node))
    throw Error::corrupt(shown(entry.path) + " is a hard link to " + shown(entry.target) +
                         (node == none ? ", which is not there" : ", which is a folder"));
  return node;
}

void ImageTree::remove(const SourceEntry& entry) {
  const bool contents = entry.removes == Removes::contents;
  const uint32_t folder =
      find_node(through_links(contents ? std::string_view(entry.path) : parent_of(entry.path)));
  if (folder == none || !is_folder(folder)) return;  // there was nothing
  if (contents) return remove_older_in(folder);
  const auto name = index_.find(NameKey{folder, name_of(entry.path)});
  if (name != index_.end()) remove_if_older(*name);
}

/// Once a layer, however often it says so. Recursion: at most max_depth.
void ImageTree::remove_older_in(uint32_t folder) {
  if (nodes_[folder].count == layer_) return;
  nodes_[folder].count = layer_;
  for (auto name = static_cast<uint32_t>(nodes_[folder].first); name != none; name = names_[name].next)
    remove_if_older(name);
}

void ImageTree::remove_if_older(uint32_t name) {
  const uint32_t node = names_[name].node;
  if (node == none) return;
  if (is_folder(node)) remove_older_in(node);
  if (names_[name].layer == layer_ || (is_folder(node) && has_entries(node))) return;
  if (!is_folder(node)) --nodes_[node].links;
  --nodes_[names_[name].parent].links;
  names_[name].node = none;
}

uint32_t ImageTree::add_node(const SourceEntry& entry) {
  if (nodes_.size() >= max_inodes)
    throw Error(fmt::format("the tree has more than the {} files that an image can hold", max_inodes));
  InodeRecord r = record_of(entry);
  if (S_ISDIR(r.mode)) r.first = none;
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
  r.first = nodes_[node].first;
  r.count = nodes_[node].count;
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
  auto there = index_.find(NameKey{parent, text});
  if (there == index_.end()) {
    names_.push_back({parent, none, static_cast<uint32_t>(text.size()), layer_, texts_.size(),
                      static_cast<uint32_t>(nodes_[parent].first)});
    texts_ += text;
    const auto added = static_cast<uint32_t>(names_.size() - 1);
    there = index_.insert(added).first;
    nodes_[parent].first = added;
  }
  Name& name = names_[*there];
  if (name.node == none) {
    ++nodes_[parent].links;
  } else {
    if (is_folder(name.node) && name.layer != layer_) remove_older_in(name.node);
    if (is_folder(name.node) && has_entries(name.node))
      throw Error::corrupt("the folder " + shown(path) + " comes again as something else");
    if (!is_folder(name.node)) --nodes_[name.node].links;
  }
  if (!is_folder(node)) ++nodes_[node].links;
  name.node = node;
  name.layer = layer_;
}

ImageTree::Piece& ImageTree::add_piece(uint64_t offset, uint32_t length) {
  ++nodes_.back().count;
  return pieces_.emplace_back(Piece{{}, offset, length});
}

}  // namespace coldstart
