// SPDX-License-Identifier: Apache-2.0
// Garbage collection, in three steps:
//
//   1. sweep:   under the exclusive lock, find what is live and remove packs with nothing live in them.
//   First,
//               because step 2 needs room, and who runs gc often has none.
//   2. compact: packs that are mostly garbage are written again without it, beside the old ones. This takes
//               long and needs no lock: nothing is removed, and writers may go on finding chunks in old
//               packs.
//   3. sweep:   again under the exclusive lock, with what is live now: a pack that was written again goes if
//               all that is live in it was. (A writer may have found a chunk in it that was garbage in 2.)
//
// Killed at any point, each step leaves a valid store, at worst with chunks in two packs.

#include <algorithm>
#include <cerrno>

#include <poll.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/progress_task.h"
#include "core/store/pack_builder.h"
#include "core/store/upkeep.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// Rewriting a pack must free at least this share of it, else the copying is not worth it.
constexpr double worth_rewriting = 0.25;
constexpr int rewrite_level = 3;

/// As FileLock's constructor, but ends when cancelled: writers may hold the lock for long.
FileLock lock_exclusive(const fs::path& file, const CancelToken& cancel) {
  for (;;) {
    if (auto lock = FileLock::try_lock(file, FileLock::Mode::exclusive)) return std::move(*lock);
    // flock cannot be waited for together with the token.
    pollfd p{cancel.fd(), POLLIN, 0};
    ::poll(&p, 1, 20);
    cancel.check();
  }
}

bool worth_it(const PackFile& pack, const PackUse& use) {
  return use.live_chunks > 0 &&
         static_cast<double>(use.garbage_bytes) >= worth_rewriting * static_cast<double>(pack.file_bytes());
}

class Collector {
 public:
  Collector(Store& store, Store::Impl& impl, const ManifestWalkers& walkers, Operation& op)
      : store_(store), impl_(impl), walkers_(walkers), op_(op) {}

  Store::GcResult estimate();
  Store::GcResult run();

 private:
  DigestSet live() { return live_digests(store_, impl_.leases(), walkers_, op_.cancel); }
  void sweep();
  void remove_leftovers();
  void remove_asides(const fs::path& folder);
  void compact(const Store::Scratch& scratch);
  void publish(PackBuilder& builder);
  bool rewrite(const PackFile& pack, const DigestSet& live, PackBuilder& to);

  Store& store_;
  Store::Impl& impl_;
  const ManifestWalkers& walkers_;
  Operation& op_;
  Store::GcResult result_;
  uint64_t rewritten_bytes_ = 0;
  std::vector<fs::path> rewritten_;  ///< packs that step 2 wrote again
  DigestSet copied_;                 ///< the chunks in the new ones
};

Store::GcResult Collector::estimate() {
  impl_.packs.rescan();
  const DigestSet live_now = live();
  for (const auto& pack : *impl_.packs.packs()) {
    const PackUse use = use_of(*pack, live_now);
    if (use.live_chunks == 0) {
      ++result_.removed_packs;
      result_.freed_bytes += pack->file_bytes();
    } else if (worth_it(*pack, use)) {
      ++result_.rewritten_packs;
      result_.freed_bytes += use.garbage_bytes;
    }
  }
  for (const fs::path& left : leftovers(impl_.tmp())) {
    ++result_.removed_leftovers;
    result_.freed_bytes += bytes_below(left);
  }
  if (impl_.origin)
    result_.freed_bytes +=
        impl_.origin->collect([&](const Digest& manifest) { return live_now.contains(manifest); }, true);
  return result_;
}

Store::GcResult Collector::run() {
  const FileLock one_at_a_time = lock_exclusive(impl_.root / "gc.lock", op_.cancel);
  sweep();
  try {
    compact(store_.scratch());
  } catch (const Error& e) {
    if (e.error_number() != ENOSPC && e.error_number() != EDQUOT) throw;
    log::warn("no room to rewrite packs, so some garbage stays: {}", e.message());
  }
  if (!rewritten_.empty()) sweep();
  result_.freed_bytes -= std::min(result_.freed_bytes, rewritten_bytes_);
  return result_;
}

void Collector::sweep() {
  const auto span = op_.timeline.span("gc.sweep");
  const FileLock lock = lock_exclusive(impl_.lock_file(), op_.cancel);
  impl_.packs.rescan();
  const DigestSet live_now = live();
  remove_leftovers();
  if (impl_.origin)
    result_.freed_bytes +=
        impl_.origin->collect([&](const Digest& manifest) { return live_now.contains(manifest); }, false);
  for (const auto& pack : *impl_.packs.packs()) {
    op_.cancel.check();
    const bool again = std::find(rewritten_.begin(), rewritten_.end(), pack->path()) != rewritten_.end();
    const auto chunks = pack->chunks();
    const bool needed = std::any_of(chunks.begin(), chunks.end(), [&](const PackChunk& chunk) {
      return live_now.contains(chunk.digest) && !(again && copied_.contains(chunk.digest));
    });
    if (needed) continue;
    check(::unlink(pack->path().c_str()), "cannot remove " + pack->path().string());
    result_.freed_bytes += pack->file_bytes();
    if (again)
      ++result_.rewritten_packs;
    else
      ++result_.removed_packs;
  }
  sync_folder(impl_.root / "packs");
  impl_.packs.rescan();
}

void Collector::remove_leftovers() {
  for (const fs::path& left : leftovers(impl_.tmp())) {
    const uint64_t bytes = bytes_below(left);
    std::error_code error;
    fs::remove_all(left, error);
    if (error) throw Error::sys(error.value(), "cannot remove " + left.string());
    ++result_.removed_leftovers;
    result_.freed_bytes += bytes;
  }
  for (const auto& entry : fs::directory_iterator(impl_.leases())) {
    if (is_held(entry.path()) || ::unlink(entry.path().c_str()) != 0) continue;
    ++result_.removed_leftovers;
  }
  for (const fs::path& folder : {impl_.refs(RefKind::image), impl_.refs(RefKind::snapshot)})
    remove_asides(folder);
}

/// What an atomic write that was killed has left. None runs now: references are written under the lock.
void Collector::remove_asides(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_aside(entry.path()) && ::unlink(entry.path().c_str()) == 0) ++result_.removed_leftovers;
}

void Collector::compact(const Store::Scratch& scratch) {
  const auto span = op_.timeline.span("gc.compact");
  const DigestSet live_now = live();
  std::vector<std::shared_ptr<const PackFile>> chosen;
  uint64_t total = 0;
  for (const auto& pack : *impl_.packs.packs()) {
    const PackUse use = use_of(*pack, live_now);
    if (!worth_it(*pack, use)) continue;
    chosen.push_back(pack);
    total += use.live_bytes;
  }
  if (chosen.empty()) return;
  const ProgressTask task(op_.progress, "rewriting packs", total);
  std::optional<PackBuilder> builder;
  std::vector<fs::path> in_builder;
  const auto close = [&] {
    publish(*builder);
    rewritten_.insert(rewritten_.end(), in_builder.begin(), in_builder.end());
    in_builder.clear();
    builder.reset();
  };
  for (const auto& pack : chosen) {
    if (!builder) builder.emplace(scratch.path());
    if (rewrite(*pack, live_now, *builder)) in_builder.push_back(pack->path());
    if (builder->bytes() >= PackOptions{}.pack_bytes) close();
  }
  if (builder) close();
}

/// False if the pack cannot be read as it should: then it stays, for fsck to tell.
bool Collector::rewrite(const PackFile& pack, const DigestSet& live_now, PackBuilder& to) {
  for (uint32_t i = 0; i < pack.frames().size(); ++i) {
    op_.cancel.check();
    const PackFrame& frame = pack.frames()[i];
    BuiltFrame built;
    std::vector<Bytes> contents;
    Bytes content;
    try {
      const auto chunks = pack.chunks_of(frame);
      if (std::none_of(chunks.begin(), chunks.end(),
                       [&](const PackChunk& c) { return live_now.contains(c.digest); }))
        continue;
      content.resize(frame.content);
      pack.read_content(frame, content);
      for (uint32_t c = 0; c < chunks.size(); ++c) {
        const PackChunk chunk = pack.place(frame.first_chunk + c).chunk;
        if (!live_now.contains(chunk.digest) || copied_.contains(chunk.digest)) continue;
        const ByteSpan bytes = ByteSpan(content).subspan(chunk.offset, chunk.length);
        if (chunk.frame != i || Digest::of(bytes) != chunk.digest)
          throw Error::corrupt("the chunk " + chunk.digest.text() + " is corrupt");
        built.add(chunk.digest, bytes);
        contents.emplace_back(bytes.begin(), bytes.end());
      }
      // A frame that is wanted whole is taken as it is: quicker, and as small as its writer made it.
      if (built.content_bytes == frame.content) built.stored = pack.read_stored(frame);
    } catch (const Error& e) {
      if (e.exit() != Exit::corrupt) throw;
      log::warn("{} is not rewritten: {}", pack.path().string(), e.message());
      return false;
    }
    if (built.chunks.empty()) continue;
    if (built.stored.empty()) compress_frame(built, std::move(contents), rewrite_level);
    to.add(built);
    for (const BuiltFrame::Chunk& chunk : built.chunks) copied_.insert(chunk.digest);
    op_.progress.advance(built.stored.size());
  }
  return true;
}

void Collector::publish(PackBuilder& builder) {
  builder.finish();
  const fs::path folder = impl_.root / "packs";
  check(::rename(builder.path().c_str(), (folder / builder.name()).c_str()), "cannot publish a pack");
  sync_folder(folder);
  rewritten_bytes_ += builder.bytes();
}

}  // namespace

Store::GcResult Store::gc(const ManifestWalkers& walkers, bool dry_run, Operation& op) {
  Collector collector(*this, *impl_, walkers, op);
  return dry_run ? collector.estimate() : collector.run();
}

}  // namespace coldstart
