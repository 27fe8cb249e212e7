// SPDX-License-Identifier: Apache-2.0
#include "core/store/pack_set.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// Larger frames are not kept; with the count below this bounds the cache.
constexpr size_t largest_cached_frame = size_t{2} << 20;
constexpr size_t cached_frames = 8;

}  // namespace

std::vector<PackSet::Found> PackSet::find_in(const Packs& packs, const Digest& digest) {
  std::vector<Found> all;
  for (const auto& pack : packs) {
    try {
      if (const auto place = pack->find(digest)) all.push_back({pack, *place});
    } catch (const Error& e) {
      log::warn("{}", e.message());
    }
  }
  return all;
}

std::shared_ptr<const PackSet::Packs> PackSet::scan_locked() {
  std::map<std::string, std::shared_ptr<const PackFile>> known;
  if (packs_)
    for (const auto& pack : *packs_) known[pack->path().filename()] = pack;
  auto packs = std::make_shared<Packs>();
  listed_.look(folder_);
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    const fs::path& path = at->path();
    if (path.extension() != ".pack") continue;
    const auto it = known.find(path.filename());
    try {
      packs->push_back(it != known.end() ? it->second : std::make_shared<const PackFile>(path));
    } catch (const Error& e) {
      if (e.error_number() != ENOENT) log::warn("{}", e.message());
    }
  }
  if (error) throw Error::sys(error.value(), "cannot list " + folder_.string());
  // The same order for everyone, whatever order the folder is listed in.
  std::sort(packs->begin(), packs->end(), [](const auto& a, const auto& b) { return a->path() < b->path(); });
  return packs_ = std::move(packs);
}

void PackSet::rescan() {
  const std::lock_guard lock(mutex_);
  scan_locked();
}

std::shared_ptr<const PackSet::Packs> PackSet::packs() {
  const std::lock_guard lock(mutex_);
  return packs_ ? packs_ : scan_locked();
}

std::vector<PackSet::Found> PackSet::find_all(const Digest& digest) {
  std::vector<Found> all = find_in(*packs(), digest);
  if (!all.empty()) return all;
  std::shared_ptr<const Packs> now;
  {
    const std::lock_guard lock(mutex_);
    if (!listed_.changed(folder_)) return all;
    now = scan_locked();
  }
  return find_in(*now, digest);
}

PackSet::Content PackSet::content(const Found& found) {
  const PackFrame& frame = found.place.frame;
  const auto same = [&](const CachedFrame& c) {
    return c.pack == found.pack && c.frame == found.place.frame_number;
  };
  {
    const std::lock_guard lock(cache_mutex_);
    const auto it = std::find_if(cache_.begin(), cache_.end(), same);
    if (it != cache_.end()) return it->content;
  }
  auto content = std::make_shared<Bytes>(frame.content);
  found.pack->read_content(frame, *content);
  if (frame.chunk_count > 1 && frame.content <= largest_cached_frame) {
    const std::lock_guard lock(cache_mutex_);
    if (std::none_of(cache_.begin(), cache_.end(), same)) {
      cache_.push_front({found.pack, found.place.frame_number, content});
      if (cache_.size() > cached_frames) cache_.pop_back();
    }
  }
  return content;
}

}  // namespace coldstart
