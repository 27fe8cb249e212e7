// SPDX-License-Identifier: Apache-2.0
#include "core/remote/origin.h"

#include <algorithm>
#include <condition_variable>
#include <numeric>
#include <unordered_map>

#include "core/base/log.h"
#include "core/remote/remote_manifest.h"

namespace coldstart {

namespace {

/// Frames with less than this between them are asked for together: it takes less time than another request.
constexpr uint64_t worth_a_request = 64 << 10;
/// Not more than this at once, so that several connections share the work, and what is first is there first.
constexpr uint64_t largest_request = uint64_t{4} << 20;
/// What is asked for ahead of a reader, when it is somewhere new and at most: a link of 1 Gbit/s carries 2.5
/// MB in a round trip of 20 ms.
constexpr uint64_t first_window = uint64_t{4} << 20;
constexpr uint64_t largest_window = uint64_t{8} << 20;
/// The same where it is known what will be wanted, and this is not: nothing, unless the frame behind is
/// asked for, too.
constexpr uint64_t first_window_beside_trace = uint64_t{512} << 10;
constexpr unsigned connections = 8;
constexpr size_t queued_requests = 4096;

/// Counts jobs that are still to be done, and keeps the first failure.
class Batch {
 public:
  void add() {
    const std::lock_guard lock(mutex_);
    ++left_;
  }
  void one_done(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (failure && !failure_) failure_ = std::move(failure);
    --left_;
    changed_.notify_all();
  }
  bool has_failed() {
    const std::lock_guard lock(mutex_);
    return failure_ != nullptr;
  }
  std::exception_ptr wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return left_ == 0; });
    return failure_;
  }

 private:
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  size_t left_ = 0;
  std::exception_ptr failure_;
};

}  // namespace

std::filesystem::path fetched_folder(const std::filesystem::path& store_root) {
  return store_root / "fetched";
}

std::shared_ptr<SparsePack> OriginShared::sparse_pack(const IndexedPack& pack) {
  const std::lock_guard lock(mutex_);
  auto& sparse = packs_[pack.blob];
  if (!sparse) sparse = std::make_shared<SparsePack>(fetched_folder(root) / pack.blob.hex(), pack.bytes);
  return sparse;
}

Workers& OriginShared::workers() {
  const std::lock_guard lock(mutex_);
  if (!workers_) workers_ = std::make_unique<Workers>(connections, queued_requests);
  return *workers_;
}

/// Neighbouring frames of one pack, to be fetched by one request.
struct Origin::Run {
  std::vector<uint32_t> frames;  // by offset
  uint64_t offset, end;
  size_t rank;
};

Origin::Origin(OriginRecord record, OriginShared& shared)
    : record_(std::move(record)),
      index_(FileMapping(index_file(shared.root, record_.manifest)),
             "the chunk index of " + record_.manifest.text()),
      shared_(shared) {
  for (const IndexedPack& pack : index_.packs()) packs_.push_back(shared.sparse_pack(pack));
  by_place_.resize(index_.frames().size());
  std::iota(by_place_.begin(), by_place_.end(), 0);
  std::sort(by_place_.begin(), by_place_.end(), [&](uint32_t a, uint32_t b) { return is_before(a, b); });
  windows_.resize(packs_.size());
}

bool Origin::is_before(uint32_t a, uint32_t b) const {
  const auto frames = index_.frames();
  return std::pair(frames[a].pack, frames[a].offset) < std::pair(frames[b].pack, frames[b].offset);
}

ObjectStore& Origin::objects() {
  const std::lock_guard lock(mutex_);
  if (!objects_) {
    RemoteOptions options = shared_.access;
    options.deadline = record_.deadline;
    options.near = record_.near;
    objects_ = open_object_store(record_.url, options);
  }
  return *objects_;
}

FrameTable::Key Origin::key(uint32_t number) const {
  const IndexedFrame& frame = index_.frames()[number];
  return {index_.packs()[frame.pack].blob, frame.offset};
}

SparsePack& Origin::pack_of(uint32_t number) {
  return *packs_[index_.frames()[number].pack];
}

/// Null if it was not fetched before, or is not as it should be: then it is fetched again.
FrameTable::Frame Origin::from_here(uint32_t number, Bytes* stored) {
  const IndexedFrame& frame = index_.frames()[number];
  std::optional<Bytes> bytes = pack_of(number).read(frame.offset, frame.stored);
  if (!bytes) return nullptr;
  try {
    FrameTable::Frame result = decode_frame(index_, number, *bytes);
    if (stored != nullptr) *stored = std::move(*bytes);
    return result;
  } catch (const Error&) {
    return nullptr;
  }
}

FrameTable::Frame Origin::from_remote(uint32_t number, Bytes* came) {
  const IndexedFrame& frame = index_.frames()[number];
  const std::string object = blob_key(index_.packs()[frame.pack].blob);
  const auto attempt = [&](ObjectStore::Freshness freshness) {
    Bytes stored = objects().get(object, ByteRange{frame.offset, frame.stored}, freshness);
    FrameTable::Frame result = decode_frame(index_, number, stored);
    if (came != nullptr)
      *came = std::move(stored);
    else
      pack_of(number).keep(frame.offset, stored);
    count(number);
    return result;
  };
  try {
    return attempt(ObjectStore::Freshness::any);
  } catch (const RemoteError&) {
    throw;
  } catch (const Error& e) {
    if (e.exit() != Exit::corrupt) throw;
    log::warn("{} in what {} sent; asking once more, past all caches", e.message(), record_.url);
  }
  return attempt(ObjectStore::Freshness::origin);
}

/// It came from the remote.
void Origin::count(uint32_t number) {
  shared_.brought_chunks.fetch_add(index_.chunks_of(number).size(), std::memory_order_relaxed);
  shared_.brought_bytes.fetch_add(index_.frames()[number].content, std::memory_order_relaxed);
}

/// Who reads a frame mostly reads those behind it next, as they were packed in the order of the tree, or of
/// use.
void Origin::read_ahead(uint32_t number) {
  const IndexedFrame& frame = index_.frames()[number];
  uint64_t start = frame.offset / first_window * first_window;
  uint64_t size = first_window;
  {
    const std::lock_guard lock(mutex_);
    if (announced_.contains(number)) return;
    Window& window = windows_[frame.pack];
    if (frame.offset >= window.start && frame.offset < window.end) {
      if (frame.offset + window.size / 2 < window.end) return;
      start = window.end;
      size = std::min(2 * window.size, largest_window);
      window.end = start + size;
    } else if (pack_of(number).may_have(frame.offset, frame.stored)) {
      return;  // somebody knew that it would be wanted, and what else will be
    } else if (!announced_.empty()) {
      const uint64_t behind = frame.offset + frame.stored;
      window = {behind, behind + worth_a_request, first_window_beside_trace};
      return;
    } else {
      window = {start, start + size, size};
    }
    window.size = size;
  }
  std::vector<uint32_t> ahead;
  auto at = std::partition_point(by_place_.begin(), by_place_.end(), [&](uint32_t other) {
    const IndexedFrame& f = index_.frames()[other];
    return std::pair(f.pack, f.offset) < std::pair(frame.pack, start);
  });
  for (; at != by_place_.end() && index_.frames()[*at].pack == frame.pack; ++at) {
    const IndexedFrame& near = index_.frames()[*at];
    if (near.offset >= start + size) break;
    if (*at != number && !pack_of(*at).may_have(near.offset, near.stored)) ahead.push_back(*at);
  }
  for (const Run& run : plan(ahead))
    shared_.workers().submit([self = shared_from_this(), run] {
      try {
        self->fetch_run(run, {});
      } catch (const std::exception& e) {
        log::debug("reading ahead failed: {}", e.what());  // who reads it is told
      }
    });
}

void Origin::announce(const std::vector<uint32_t>& numbers) {
  const std::lock_guard lock(mutex_);
  announced_.insert(numbers.begin(), numbers.end());
}

FrameTable::Frame Origin::frame(uint32_t number, bool* came) {
  read_ahead(number);
  return shared_.frames.get(key(number), [&] {
    if (FrameTable::Frame frame = from_here(number, nullptr)) return frame;
    FrameTable::Frame frame = from_remote(number, nullptr);
    if (came != nullptr) *came = true;
    return frame;
  });
}

/// Runs in the order in which the first of their frames is wanted.
std::vector<Origin::Run> Origin::plan(const std::vector<uint32_t>& wanted) const {
  const auto frames = index_.frames();
  std::unordered_map<uint32_t, size_t> rank;
  for (const uint32_t number : wanted) rank.emplace(number, rank.size());
  std::vector<uint32_t> numbers;
  numbers.reserve(rank.size());
  for (const auto& [number, unused] : rank) numbers.push_back(number);
  std::sort(numbers.begin(), numbers.end(), [&](uint32_t a, uint32_t b) { return is_before(a, b); });
  std::vector<Run> runs;
  for (const uint32_t number : numbers) {
    const IndexedFrame& frame = frames[number];
    const uint64_t end = frame.offset + frame.stored;
    if (!runs.empty()) {
      Run& run = runs.back();
      if (frames[run.frames.back()].pack == frame.pack && frame.offset >= run.end &&
          frame.offset - run.end <= worth_a_request && end - run.offset <= largest_request) {
        run.frames.push_back(number);
        run.end = end;
        run.rank = std::min(run.rank, rank.at(number));
        continue;
      }
    }
    runs.push_back({{number}, frame.offset, end, rank.at(number)});
  }
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.rank < b.rank; });
  return runs;
}

/// One frame of a run for `each`. If it is wrong it alone is asked for again.
void Origin::give(uint32_t number, ByteSpan stored, const Each& each) {
  FrameTable::Frame frame;
  Bytes again;
  try {
    frame = decode_frame(index_, number, stored);
    count(number);
  } catch (const Error&) {
    frame = from_remote(number, &again);
    stored = again;
  }
  each(number, stored, *frame);
}

void Origin::fetch_run(const Run& run, const Each& each) {
  if (shared_.access.cancel != nullptr) shared_.access.cancel->check();
  // Readers wait for what is on its way here, and what they have brought meanwhile is left out.
  std::vector<uint32_t> mine;
  for (const uint32_t number : run.frames) {
    const IndexedFrame& frame = index_.frames()[number];
    if (each || (!pack_of(number).may_have(frame.offset, frame.stored) && shared_.frames.claim(key(number))))
      mine.push_back(number);
  }
  std::exception_ptr failure;
  std::exception_ptr unreachable;
  // What others have brought since the run was planned need not come again.
  for (size_t first = 0, end = 0; first < mine.size(); first = end) {
    const auto place = [&](size_t i) { return index_.frames()[mine[i]]; };
    for (end = first + 1; end < mine.size(); ++end)
      if (place(end).offset - (place(end - 1).offset + place(end - 1).stored) > worth_a_request) break;
    const auto neighbours = std::span(mine).subspan(first, end - first);
    if (auto wrong = fetch_neighbours(neighbours, each, unreachable)) failure = std::move(wrong);
  }
  if (failure) std::rethrow_exception(failure);
}

/// By one request, unless the remote is `unreachable` already. Gives what failed last.
std::exception_ptr Origin::fetch_neighbours(std::span<const uint32_t> numbers, const Each& each,
                                            std::exception_ptr& unreachable) {
  const IndexedFrame& first = index_.frames()[numbers.front()];
  const IndexedFrame& last = index_.frames()[numbers.back()];
  Bytes bytes;
  try {
    if (!unreachable)
      bytes = objects().get(blob_key(index_.packs()[first.pack].blob),
                            ByteRange{first.offset, last.offset + last.stored - first.offset},
                            ObjectStore::Freshness::any);
  } catch (...) {
    unreachable = std::current_exception();
  }
  std::exception_ptr failure;
  for (const uint32_t number : numbers) {
    const IndexedFrame& frame = index_.frames()[number];
    try {
      if (unreachable) std::rethrow_exception(unreachable);
      const ByteSpan stored = ByteSpan(bytes).subspan(frame.offset - first.offset, frame.stored);
      if (each) {
        give(number, stored, each);
      } else {
        // Whoever reads it looks at it then.
        pack_of(number).keep(frame.offset, stored);
        count(number);
        shared_.frames.done(key(number), nullptr);
      }
    } catch (...) {
      failure = std::current_exception();
      if (!each) shared_.frames.failed(key(number), failure);
    }
  }
  return failure;
}

void Origin::fetch(const std::vector<uint32_t>& numbers, const Each& each, bool quiet) {
  std::vector<uint32_t> lacking;
  for (const uint32_t number : numbers) {
    const IndexedFrame& frame = index_.frames()[number];
    if (!pack_of(number).may_have(frame.offset, frame.stored)) {
      lacking.push_back(number);
    } else if (each) {
      Bytes stored;
      if (const FrameTable::Frame here = from_here(number, &stored))
        each(number, stored, *here);
      else
        lacking.push_back(number);
    }
  }
  const auto batch = std::make_shared<Batch>();
  const std::vector<Run> runs = plan(lacking);
  for (const Run& run : runs) {
    batch->add();
    shared_.workers().submit([this, batch, &run, &each, quiet] {
      std::exception_ptr failure;
      try {
        // After a failure nobody wants the rest.
        if (quiet || !batch->has_failed()) fetch_run(run, each);
      } catch (...) {
        failure = std::current_exception();
      }
      batch->one_done(failure);
    });
  }
  if (const std::exception_ptr failure = batch->wait(); failure && !quiet) std::rethrow_exception(failure);
}

}  // namespace coldstart
