// SPDX-License-Identifier: Apache-2.0
#pragma once
// The tree of an image while it is being built: entries come in any order a source has, and leave as the
// sections of a blob in the one canonical order.
//
// An inode takes some 100 bytes here, a name 50 and its bytes, a chunk 56; contents are not kept.
//
// Layers. Each name knows the layer that it came with last. What a layer removes is gone only if it came with
// an earlier one; whatever order a layer has its entries in, the outcome is the same.

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/image/blob.h"
#include "core/image/source.h"
#include "core/store/digest.h"

namespace coldstart {

/// Not thread-safe.
class ImageTree {
 public:
  ImageTree();

  /// A chunk of a file. The builder lets the store fill the digest in.
  struct Piece {
    Digest digest;
    uint64_t offset;
    uint32_t length;
  };

  /// Adds an entry, or removes what it removes; a path that is there already is replaced. Throws Error naming
  /// the path for what cannot be: a parent that is no folder, a hard link to nothing, a folder with entries
  /// (of the same layer) that is to become a file.
  void add(const SourceEntry& entry);
  /// Adds a piece to the file that was added last, after all before it. The reference stays valid.
  Piece& add_piece(uint64_t offset, uint32_t length);

  /// The blob's sections. All digests must be set.
  BlobSections finish() const;

 private:
  struct Name {
    uint32_t parent;  // index into nodes_
    uint32_t node;    // none: removed
    uint32_t length;
    uint32_t layer;   // the last one that had it
    uint64_t offset;  // in texts_
    uint32_t next;    // of the names of the same parent; index into names_, or none
  };
  struct NameKey {
    uint32_t parent;
    std::string_view text;
  };
  // Names by (parent, text), found without making a key.
  struct NameHash {
    using is_transparent = void;
    const ImageTree* tree;
    size_t operator()(uint32_t name) const { return (*this)(tree->key_of(name)); }
    size_t operator()(const NameKey& k) const {
      return std::hash<std::string_view>()(k.text) * 31 + k.parent;
    }
  };
  struct NameEqual {
    using is_transparent = void;
    const ImageTree* tree;
    bool operator()(uint32_t a, uint32_t b) const { return a == b; }
    bool operator()(const NameKey& k, uint32_t b) const { return same(k, tree->key_of(b)); }
    bool operator()(uint32_t a, const NameKey& k) const { return same(k, tree->key_of(a)); }
    static bool same(const NameKey& a, const NameKey& b) { return a.parent == b.parent && a.text == b.text; }
  };

  NameKey key_of(uint32_t name) const;
  std::string_view text_of(const Name& name) const;
  uint32_t child(uint32_t folder, std::string_view name) const;
  uint32_t find_node(std::string_view path) const;
  uint32_t folder_for(std::string_view path);
  uint32_t make_folder(uint32_t parent, std::string_view name, std::string_view path);
  std::string through_links(std::string_view path) const;
  uint32_t link_target(const SourceEntry& entry) const;
  void remove(const SourceEntry& entry);
  void remove_older_in(uint32_t folder);
  void remove_if_older(uint32_t name);
  uint32_t add_node(const SourceEntry& entry);
  void set_folder(uint32_t node, const SourceEntry& entry);
  void set_xattrs(InodeRecord& record, const SourceEntry& entry);
  void put_name(uint32_t parent, std::string_view text, uint32_t node, const std::string& path);
  bool has_entries(uint32_t folder) const;
  bool is_folder(uint32_t node) const;

  friend class TreeLayout;

  // `first` and `count` of a file are indexes into pieces_, of a symlink an offset in texts_; of a folder
  // `first` is one of its names, or none, and `count` the layer that last emptied it. `links` counts names,
  // of a folder the live entries in it; `xattrs` is an index into xattr_refs_.
  std::vector<InodeRecord> nodes_;
  std::vector<Name> names_;
  std::unordered_set<uint32_t, NameHash, NameEqual> index_;
  std::deque<Piece> pieces_;
  std::map<std::pair<std::string, std::string>, uint32_t> xattrs_;
  std::vector<uint32_t> xattr_refs_;
  std::string texts_;
  uint32_t layer_ = 0;
};

}  // namespace coldstart
