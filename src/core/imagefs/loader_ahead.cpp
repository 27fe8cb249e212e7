// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/loader_ahead.h"

#include <algorithm>

#include "core/base/log.h"
#include "core/image/elf.h"

namespace coldstart {

namespace {

// With the kernel's readahead of 1 MiB a loader's first faults reach as far as this.
constexpr uint64_t start_bytes = uint64_t{1} << 20;
constexpr uint64_t end_bytes = uint64_t{512} << 10;
// Ahead of the loader: from here as many as the memory for chunks holds along with what is being read, from
// afar as many as hide the round trips.
constexpr size_t most_loaded = 4;
constexpr size_t most_fetched = 16;  // at once
constexpr size_t most_plans = 64;    // programs that start at once

}  // namespace

LoaderAhead::LoaderAhead(const ImageReader& image, FileReader& files, Store* far)
    : image_(image), files_(files), far_(far) {
  for (unsigned i = 0; i < (far_ != nullptr ? most_fetched : 1); ++i)
    threads_.emplace_back([this] { work(); });
}

LoaderAhead::~LoaderAhead() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void LoaderAhead::begins(uint32_t inode) {
  // It is not known yet what it is; but a large file's beginning is seldom all that is wanted.
  if (image_.extents(image_.inode(inode)).size() > 1) expect_end(inode);
}

void LoaderAhead::expect_end(uint32_t inode) {
  const uint64_t size = image_.inode(inode).size;
  files_.expect(inode, size - std::min(size, end_bytes), end_bytes);
}

void LoaderAhead::started(uint32_t inode) {
  files_.expect(inode, 0, start_bytes);
  {
    const std::lock_guard lock(mutex_);
    waiting_.erase(inode);
    if (seen_.insert(inode).second) {
      waiting_.clear();  // they were guessed wrong
      if (plans_.size() == most_plans) plans_.erase(plans_.begin());
      plans_.push_back(std::make_shared<Plan>(1, Program{inode, true}));
    }
  }
  wake_.notify_all();
}

/// Null: it is time to end.
std::shared_ptr<LoaderAhead::Plan> LoaderAhead::next(Program& program) {
  const size_t most_waiting = far_ != nullptr ? 2 * most_fetched : most_loaded;
  std::unique_lock lock(mutex_);
  std::shared_ptr<Plan> plan;
  for (;;) {
    if (stop_) return nullptr;
    // One that is empty may still get what a thread finds out now.
    std::erase_if(plans_, [](const auto& p) { return p->empty() && p.use_count() == 1; });
    const auto last = std::find_if(plans_.rbegin(), plans_.rend(), [](const auto& p) { return !p->empty(); });
    if (last != plans_.rend() && ((*last)->front().opened || waiting_.size() < most_waiting)) {
      plan = *last;
      break;
    }
    wake_.wait(lock);
  }
  program = plan->front();
  plan->pop_front();
  if (!program.opened) waiting_.insert(program.inode);
  return plan;
}

void LoaderAhead::work() {
  Program program{};
  while (const std::shared_ptr<Plan> plan = next(program)) {
    try {
      if (!program.opened) load(program.inode);
      const std::vector<uint32_t> wanted = needs(program.inode);
      const std::lock_guard lock(mutex_);
      for (const uint32_t library : wanted)
        if (seen_.insert(library).second) plan->push_back({library, false});
      wake_.notify_all();
    } catch (const std::exception& e) {
      log::debug("cannot look ahead of a loader: {}", e.what());
    }
  }
}

void LoaderAhead::load(uint32_t inode) {
  if (files_.on_disk(inode)) {  // quick to read, and perhaps without our being asked
    const std::lock_guard lock(mutex_);
    waiting_.erase(inode);
    return;
  }
  if (far_ != nullptr) fetch(inode);
  files_.expect(inode, 0, 1);
  expect_end(inode);
  files_.expect(inode, 0, start_bytes);
}

/// From afar all of it at once, and nothing beside it.
void LoaderAhead::fetch(uint32_t inode) {
  const InodeRecord& file = image_.inode(inode);
  std::vector<Digest> chunks;
  const auto add = [&](std::span<const ExtentRecord> extents) {
    for (const ExtentRecord& extent : extents)
      chunks.push_back(ImageReader::digest(image_.chunks()[extent.chunk]));
  };
  add(image_.extents(file, 0, start_bytes));
  if (file.size > start_bytes)
    add(image_.extents(file, file.size - std::min(file.size, end_bytes), end_bytes));
  far_->prefetch(chunks);
}

/// What is to be opened for this program or library, in the loader's order.
std::vector<uint32_t> LoaderAhead::needs(uint32_t inode) {
  std::call_once(named_, [this] { names_ = std::make_unique<const LibraryNames>(image_); });
  std::vector<uint32_t> found;
  const auto read = [&](uint64_t offset, size_t bytes) {
    Bytes all;
    for (const iovec& piece : files_.read(inode, offset, bytes).pieces)
      append(all, {static_cast<const std::byte*>(piece.iov_base), piece.iov_len});
    return all;
  };
  for (const std::string& name : needed_libraries(read))
    if (const uint32_t library = names_->find(name); library != 0) found.push_back(library);
  return found;
}

}  // namespace coldstart
