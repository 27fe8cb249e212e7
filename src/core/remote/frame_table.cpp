// SPDX-License-Identifier: Apache-2.0
#include "core/remote/origin.h"

namespace coldstart {

namespace {

/// Who reads one small chunk mostly reads its neighbours next. A frame of one chunk is read once.
constexpr size_t kept_limit = size_t{16} << 20;
constexpr size_t largest_kept = size_t{2} << 20;

}  // namespace

FrameTable::Frame FrameTable::find_locked(const Key& key) {
  for (auto it = kept_.begin(); it != kept_.end(); ++it) {
    if (!(it->first == key)) continue;
    kept_.splice(kept_.begin(), kept_, it);
    return it->second;
  }
  return nullptr;
}

void FrameTable::keep_locked(const Key& key, const Frame& frame) {
  if (!frame || frame->chunks.size() < 2 || frame->content.size() > largest_kept || find_locked(key)) return;
  kept_.emplace_front(key, frame);
  kept_bytes_ += frame->content.size();
  while (kept_bytes_ > kept_limit) {
    kept_bytes_ -= kept_.back().second->content.size();
    kept_.pop_back();
  }
}

bool FrameTable::claim(const Key& key) {
  const std::lock_guard lock(mutex_);
  if (coming_.contains(key) || find_locked(key)) return false;
  auto coming = std::make_shared<Coming>();
  coming->result = coming->promise.get_future().share();
  coming_.emplace(key, std::move(coming));
  return true;
}

void FrameTable::done(const Key& key, Frame frame) {
  std::shared_ptr<Coming> coming;
  {
    const std::lock_guard lock(mutex_);
    keep_locked(key, frame);
    coming = coming_.extract(key).mapped();
  }
  coming->promise.set_value(std::move(frame));
}

void FrameTable::failed(const Key& key, std::exception_ptr why) {
  std::shared_ptr<Coming> coming;
  {
    const std::lock_guard lock(mutex_);
    coming = coming_.extract(key).mapped();
  }
  coming->promise.set_exception(std::move(why));
}

FrameTable::Frame FrameTable::get(const Key& key, const std::function<Frame()>& bring) {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (Frame frame = find_locked(key)) return frame;
      if (const auto at = coming_.find(key); at != coming_.end()) {
        const std::shared_future<Frame> result = at->second->result;
        lock.unlock();
        if (Frame frame = result.get()) return frame;
        continue;
      }
    }
    if (!claim(key)) continue;
    try {
      Frame frame = bring();
      done(key, frame);
      return frame;
    } catch (...) {
      failed(key, std::current_exception());
      throw;
    }
  }
}

}  // namespace coldstart
