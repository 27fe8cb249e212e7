// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/loader_ahead.h"

#include <chrono>
#include <condition_variable>
#include <map>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "../image/tiny_elf.h"
#include "core/image/blob.h"
#include "core/imagefs/library_names.h"

using namespace coldstart;

namespace {

/// A folder of files, each of one chunk, and symlinks.
class Folder {
 public:
  /// In the order of their names.
  void file(const std::string& name, Bytes content) {
    const auto number = static_cast<uint32_t>(sections_.chunks.size());
    ChunkRecord chunk{};
    chunk.digest[0] = static_cast<uint8_t>(number + 1);
    chunk.length = static_cast<uint32_t>(content.size());
    sections_.chunks.push_back(chunk);
    sections_.extents.push_back({0, number, 0});
    add(name, {.mode = S_IFREG | 0755, .links = 1, .size = content.size(), .first = number, .count = 1});
    contents_.push_back(std::move(content));
  }
  void link(const std::string& name, const std::string& target) {
    const auto text = sections_.add_text(target);
    add(name, {.mode = S_IFLNK | 0777, .links = 1, .size = target.size(), .first = text});
  }
  ImageReader image() {
    sections_.inodes.insert(sections_.inodes.begin(), {.mode = S_IFDIR | 0755,
                                                       .links = 2,
                                                       .first = 0,
                                                       .count = static_cast<uint32_t>(inodes_.size()),
                                                       .parent = 1});
    for (const Bytes& content : contents_) sections_.total_bytes += content.size();
    return ImageReader(sections_.assemble());
  }
  uint32_t inode(const std::string& name) const { return inodes_.at(name); }

  void load(const ChunkRecord& wanted, const ChunkCache::Keep& keep) {
    keep(Digest{wanted.digest}, contents_[wanted.digest[0] - 1U]);
    const std::lock_guard lock(mutex_);
    loaded_.insert(wanted.digest[0] - 1U);
    changed_.notify_all();
  }
  bool waits_for(size_t chunk) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return loaded_.contains(chunk); });
  }
  bool has(size_t chunk) {
    const std::lock_guard lock(mutex_);
    return loaded_.contains(chunk);
  }

 private:
  void add(const std::string& name, const InodeRecord& inode) {
    const auto number = static_cast<uint32_t>(inodes_.size() + 2);
    sections_.entries.push_back({number, static_cast<uint32_t>(name.size()), sections_.add_text(name)});
    sections_.inodes.push_back(inode);
    inodes_[name] = number;
  }

  BlobSections sections_;
  std::vector<Bytes> contents_;
  std::map<std::string, uint32_t> inodes_;
  std::mutex mutex_;  // guards loaded_
  std::condition_variable changed_;
  std::set<size_t> loaded_;
};

}  // namespace

TEST_CASE("library names: files by name, through symlinks, and nothing that leads nowhere") {
  Folder folder;
  folder.link("a.so", "a.so.1");
  folder.link("a.so.1", "/./../b.so.2");
  folder.file("b.so.2", Bytes(10));
  folder.file("c.solid", Bytes(10));
  folder.link("loop.so", "loop.so");
  folder.link("lost.so", "nowhere.so");
  folder.link("up.so", "..");
  const ImageReader image = folder.image();
  const LibraryNames names(image);
  CHECK(names.find("a.so") == folder.inode("b.so.2"));
  CHECK(names.find("a.so.1") == folder.inode("b.so.2"));
  CHECK(names.find("b.so.2") == folder.inode("b.so.2"));
  for (const char* none : {"c.solid", "loop.so", "lost.so", "up.so", "none.so", ""})
    CHECK(names.find(none) == 0);
}

TEST_CASE("a loader finds the libraries that it will open loaded, and those they need, a few ahead") {
  Folder folder;
  folder.file("a", tiny_elf({"b.so", "missing.so", "c.so"}));
  folder.file("b.so", tiny_elf({"d.so"}));
  folder.file("c.so", tiny_elf({"b.so"}));
  folder.file("d.so", tiny_elf({"a", "e.so", "f.so", "g.so"}));
  folder.file("e.so", tiny_elf({}));
  folder.file("f.so", to_bytes("no library at all"));
  folder.file("g.so", tiny_elf({}));
  const ImageReader image = folder.image();
  ImageMetrics metrics;
  ChunkCache chunks(1 << 20, [&](const auto& wanted, const auto& keep) { folder.load(wanted, keep); });
  FileReader files(image, chunks, nullptr, metrics);
  LoaderAhead ahead(image, files, nullptr);
  ahead.begins(folder.inode("a"));
  ahead.started(folder.inode("a"));
  for (const size_t chunk : {1U, 2U, 3U, 4U}) CHECK(folder.waits_for(chunk));  // b c d e: four
  CHECK_FALSE(folder.has(5));
  CHECK_FALSE(folder.has(6));
  ahead.started(folder.inode("b.so"));
  CHECK(folder.waits_for(5));
  ahead.started(folder.inode("c.so"));
  CHECK(folder.waits_for(6));
}
