// SPDX-License-Identifier: Apache-2.0
// Adding chunks to a store with all cores, and the same packs for the same chunks whatever the threads do.
//
// put() gathers chunks into batches; a worker hashes a batch. What depends on order is done in order: as
// soon as all earlier batches are hashed, a batch's new chunks are gathered into frames (`sequence_`), and
// as soon as all earlier frames are written, a frame is written (`output_`). Whoever completes the missing
// piece does that for all that waited for it. Frames in between are compressed by any worker, from a queue
// that every job leaves empty; so when no job is left, no frame is left.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_set>

#include <unistd.h>

#include "core/base/error.h"
#include "core/base/workers.h"
#include "core/store/pack_builder.h"
#include "core/store/quick_check.h"
#include "core/store/store_impl.h"

namespace coldstart {

namespace {

struct Batch {
  struct Chunk {
    Bytes bytes;
    Digest* wanted;
    Digest digest;
    uint64_t check = 0;
  };
  uint64_t number = 0;
  size_t bytes = 0;
  std::vector<Chunk> chunks;
};

/// A frame before compression.
struct OpenFrame {
  uint64_t number = 0;
  BuiltFrame frame;
  std::vector<Bytes> contents;
};

}  // namespace

struct PackWriter::Impl {
  Impl(std::shared_ptr<Store> s, const PackOptions& o, Operation& operation)
      : store(std::move(s)),
        options(o),
        op(operation),
        lock(store->impl_->lock_file(), FileLock::Mode::shared),
        scratch(store->impl_->tmp()),
        jobs(o.jobs == 0 ? default_jobs() : o.jobs),
        workers(jobs, jobs) {
    options.frame_bytes = std::clamp<size_t>(o.frame_bytes, 1, max_frame_bytes);
    // Now that gc is locked out: what is found in a pack from here on stays there.
    store->impl_->packs.rescan();
    known_packs = store->impl_->packs.packs();
  }

  void put(Bytes chunk, Digest* digest);
  void submit_batch();
  void run_batch(Batch& batch);
  void sequence_locked(Batch& batch);
  void close_frame_locked();
  void compress_queued();
  void write_in_order(OpenFrame&& done);
  void append_locked(const BuiltFrame& frame);
  void drain();
  void release_bytes(size_t bytes);

  const std::shared_ptr<Store> store;
  PackOptions options;
  Operation& op;
  const FileLock lock;  ///< shared: keeps gc out
  const Store::Scratch scratch;
  const unsigned jobs;
  std::shared_ptr<const PackSet::Packs> known_packs;

  Batch batch;  // being filled; only the caller's thread

  std::mutex memory_mutex;  // guards pending_bytes and failed
  std::condition_variable memory_free;
  size_t pending_bytes = 0;  ///< put and neither written nor found to be known
  bool failed = false;

  std::mutex sequence;  // guards all down to `to_compress`
  uint64_t next_batch = 0;
  std::map<uint64_t, Batch> hashed;  ///< waiting for an earlier one
  std::unordered_set<Digest, DigestHash> seen;
  OpenFrame open_frame;
  std::deque<OpenFrame> to_compress;

  std::mutex output;  // guards all down to `packs`
  uint64_t next_frame = 0;
  std::map<uint64_t, OpenFrame> compressed;  ///< waiting for an earlier one
  std::deque<PackBuilder> packs;             ///< the last one is being written

  std::atomic<uint64_t> stored_bytes{0};
  std::atomic<uint64_t> new_chunks{0};
  uint64_t batches = 0;
  bool published = false;

  Workers workers;  // last: its destructor waits for jobs that use the above
};

void PackWriter::Impl::put(Bytes chunk, Digest* digest) {
  if (chunk.empty() || chunk.size() > max_chunk_bytes)
    throw Error("a chunk of " + std::to_string(chunk.size()) + " bytes cannot be stored");
  op.cancel.check();
  {
    // More than the open frame and one batch, which wait for the caller, so this always moves on.
    const size_t limit = (2 * size_t{jobs} + 2) * options.frame_bytes;
    std::unique_lock wait(memory_mutex);
    memory_free.wait(wait, [&] { return pending_bytes <= limit || failed; });
    pending_bytes += chunk.size();
  }
  batch.bytes += chunk.size();
  batch.chunks.push_back({std::move(chunk), digest, {}, 0});
  if (batch.bytes >= options.frame_bytes) submit_batch();
}

void PackWriter::Impl::submit_batch() {
  if (batch.chunks.empty()) return;
  batch.number = batches++;
  // std::function wants to copy what it holds.
  auto job = std::make_shared<Batch>(std::exchange(batch, {}));
  workers.submit([this, job] {
    try {
      run_batch(*job);
    } catch (...) {
      const std::lock_guard guard(memory_mutex);
      failed = true;
      memory_free.notify_all();
      throw;
    }
  });
}

void PackWriter::Impl::run_batch(Batch& done) {
  for (Batch::Chunk& chunk : done.chunks) {
    chunk.digest = Digest::of(chunk.bytes);
    chunk.check = quick_check(chunk.digest, chunk.bytes);
    if (chunk.wanted != nullptr) *chunk.wanted = chunk.digest;
  }
  {
    const std::lock_guard guard(sequence);
    hashed.emplace(done.number, std::move(done));
    for (auto it = hashed.begin(); it != hashed.end() && it->first == next_batch; it = hashed.erase(it)) {
      sequence_locked(it->second);
      ++next_batch;
    }
  }
  compress_queued();
}

void PackWriter::Impl::sequence_locked(Batch& done) {
  size_t dropped = 0;
  for (Batch::Chunk& chunk : done.chunks) {
    if (!seen.insert(chunk.digest).second || !PackSet::find_in(*known_packs, chunk.digest).empty()) {
      dropped += chunk.bytes.size();
      continue;
    }
    // A large chunk gets a frame of its own, so that reading it reads nothing else. The open frame stays
    // open across it.
    const auto length = static_cast<uint32_t>(chunk.bytes.size());
    ++new_chunks;
    if (length >= options.frame_bytes / 2) {
      OpenFrame own;
      own.number = open_frame.number++;
      own.frame.chunks.push_back({chunk.digest, length, chunk.check});
      own.frame.content_bytes = length;
      own.contents.push_back(std::move(chunk.bytes));
      to_compress.push_back(std::move(own));
      continue;
    }
    if (open_frame.frame.content_bytes + length > options.frame_bytes) close_frame_locked();
    open_frame.frame.chunks.push_back({chunk.digest, length, chunk.check});
    open_frame.frame.content_bytes += length;
    open_frame.contents.push_back(std::move(chunk.bytes));
  }
  release_bytes(dropped);
}

void PackWriter::Impl::close_frame_locked() {
  if (open_frame.contents.empty()) return;
  const uint64_t next = open_frame.number + 1;
  to_compress.push_back(std::exchange(open_frame, {}));
  open_frame.number = next;
}

void PackWriter::Impl::compress_queued() {
  for (;;) {
    OpenFrame frame;
    {
      const std::lock_guard guard(sequence);
      if (to_compress.empty()) return;
      frame = std::move(to_compress.front());
      to_compress.pop_front();
    }
    op.cancel.check();
    compress_frame(frame.frame, std::move(frame.contents), options.level);
    write_in_order(std::move(frame));
  }
}

void PackWriter::Impl::write_in_order(OpenFrame&& done) {
  const std::lock_guard guard(output);
  compressed.emplace(done.number, std::move(done));
  for (auto it = compressed.begin(); it != compressed.end() && it->first == next_frame;
       it = compressed.erase(it)) {
    append_locked(it->second.frame);
    release_bytes(it->second.frame.content_bytes);
    ++next_frame;
  }
}

void PackWriter::Impl::append_locked(const BuiltFrame& frame) {
  if (packs.empty() || packs.back().bytes() >= options.pack_bytes) {
    if (!packs.empty()) packs.back().finish();
    packs.emplace_back(scratch.path());
  }
  packs.back().add(frame);
  stored_bytes += frame.stored.size();
}

void PackWriter::Impl::release_bytes(size_t bytes) {
  const std::lock_guard guard(memory_mutex);
  pending_bytes -= bytes;
  memory_free.notify_all();
}

void PackWriter::Impl::drain() {
  submit_batch();
  workers.wait();
}

PackWriter::PackWriter(std::shared_ptr<Store> store, const PackOptions& options, Operation& op)
    : impl_(std::make_unique<Impl>(std::move(store), options, op)) {}

PackWriter::~PackWriter() = default;

void PackWriter::put(Bytes chunk, Digest* digest) {
  impl_->put(std::move(chunk), digest);
}

void PackWriter::flush() {
  impl_->drain();
}

Digest PackWriter::put_now(Bytes chunk) {
  const Digest digest = Digest::of(chunk);
  impl_->put(std::move(chunk), nullptr);
  return digest;
}

void PackWriter::finish() {
  if (impl_->published) return;
  impl_->drain();
  {
    const std::lock_guard guard(impl_->sequence);
    impl_->close_frame_locked();
  }
  impl_->compress_queued();
  const std::lock_guard guard(impl_->output);
  if (!impl_->packs.empty()) {
    const auto span = impl_->op.timeline.span("store.publish");
    impl_->packs.back().finish();
    const std::filesystem::path folder = impl_->store->root() / "packs";
    for (const PackBuilder& pack : impl_->packs)
      check(::rename(pack.path().c_str(), (folder / pack.name()).c_str()), "cannot publish a pack");
    sync_folder(folder);
    impl_->store->impl_->packs.rescan();
  }
  impl_->published = true;
}

uint64_t PackWriter::new_stored_bytes() const {
  return impl_->stored_bytes;
}

uint64_t PackWriter::new_chunks() const {
  return impl_->new_chunks;
}

}  // namespace coldstart
